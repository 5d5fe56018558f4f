// Command baseline is the baseline of the benchmarks as a plugin: see
// internal/testing/logsbaseline.
package main

import "C"

import (
	"context"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/fluent/fluent-bit-go/output"

	"github.com/nova/novawire/internal/testing/logsbaseline"
)

func main() {}

//export FLBPluginRegister
func FLBPluginRegister(def unsafe.Pointer) C.int {
	return C.int(output.FLBPluginRegister(def, "novawire", "the baseline of the benchmarks"))
}

//export FLBPluginInit
func FLBPluginInit(plugin unsafe.Pointer) C.int {
	c, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(output.FLBPluginConfigKey(plugin, "region")))
	if err != nil {
		return output.FLB_ERROR
	}
	endpoint := output.FLBPluginConfigKey(plugin, "endpoint")
	client := cloudwatchlogs.NewFromConfig(c, func(o *cloudwatchlogs.Options) { o.BaseEndpoint = &endpoint })
	output.FLBPluginSetContext(plugin, client)
	return output.FLB_OK
}

//export FLBPluginFlushCtx
func FLBPluginFlushCtx(ctx, data unsafe.Pointer, length C.int, tag *C.char) C.int {
	client := output.FLBPluginGetContext(ctx).(*cloudwatchlogs.Client)
	for _, batch := range logsbaseline.Batches(data, int(length)) {
		in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/baseline"), LogStreamName: aws.String("stream"), LogEvents: batch}
		if _, err := client.PutLogEvents(context.Background(), in); err != nil {
			return output.FLB_RETRY
		}
	}
	return output.FLB_OK
}

//export FLBPluginExitCtx
func FLBPluginExitCtx(unsafe.Pointer) C.int { return output.FLB_OK }

//export FLBPluginUnregister
func FLBPluginUnregister(def unsafe.Pointer) { output.FLBPluginUnregister(def) }
