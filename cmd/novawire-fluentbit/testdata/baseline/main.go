// Command baseline is the baseline of the benchmarks as a plugin: see
// internal/testing/logsbaseline.
package main

import "C"

import (
	"context"
	"os"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/fluent/fluent-bit-go/output"

	"github.com/nova/novawire/internal/aws/credentials"
	"github.com/nova/novawire/internal/testing/logsbaseline"
)

func main() {}

//export FLBPluginRegister
func FLBPluginRegister(def unsafe.Pointer) C.int {
	return C.int(output.FLBPluginRegister(def, "novawire", "the baseline of the benchmarks"))
}

//export FLBPluginInit
func FLBPluginInit(plugin unsafe.Pointer) C.int {
	region, endpoint := output.FLBPluginConfigKey(plugin, "region"), output.FLBPluginConfigKey(plugin, "endpoint")
	found, err := credentials.Find(os.Getenv, credentials.Options{Region: region})
	if err != nil {
		return output.FLB_ERROR
	}
	output.FLBPluginSetContext(plugin, cloudwatchlogs.New(cloudwatchlogs.Options{Region: region, BaseEndpoint: &endpoint, Credentials: found}))
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
