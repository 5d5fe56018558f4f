//go:build cgo

// Command novawire-fluentbit is the Fluent Bit output plugin novawire, built with
// -buildmode=c-shared. This file is all of it that C calls. Nothing here panics,
// and FLBPluginFlushCtx, on a small stack, does nothing but hand over and wait.
package main

import "C"

import (
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"

	"github.com/nova/novawire/fluentbit"
)

func main() {} // never runs: what is built is a library

// FLBPluginRegister tells what the plugin is.
//
//export FLBPluginRegister
func FLBPluginRegister(def unsafe.Pointer) C.int {
	return C.int(output.FLBPluginRegister(def, "novawire", "Structured logs to Amazon CloudWatch Logs"))
}

// FLBPluginInit begins an instance, for an [OUTPUT] section of its own.
//
//export FLBPluginInit
func FLBPluginInit(plugin unsafe.Pointer) (code C.int) {
	defer func() {
		if the.recovered("start", recover()) {
			code = output.FLB_ERROR
		}
	}()
	o, err := the.open(func(key string) string { return output.FLBPluginConfigKey(plugin, key) })
	if err != nil {
		the.log.Error("plugin not started", "error", err)
		return output.FLB_ERROR
	}
	output.FLBPluginSetContext(plugin, o)
	return output.FLB_OK
}

// FLBPluginFlushCtx delivers a chunk.
//
//export FLBPluginFlushCtx
func FLBPluginFlushCtx(ctx, data unsafe.Pointer, length C.int, tag *C.char) (code C.int) {
	defer func() {
		if the.recovered("flush", recover()) {
			code = output.FLB_RETRY
		}
	}()
	o := the.known(ctx)
	if o == nil {
		return output.FLB_RETRY
	}
	var n int
	for ; *(*byte)(unsafe.Add(unsafe.Pointer(tag), n)) != 0; n++ {
	}
	return C.int(o.Hand(unsafe.Slice((*byte)(data), int(length)), unsafe.Slice((*byte)(unsafe.Pointer(tag)), n)))
}

// FLBPluginExitCtx ends an instance.
//
//export FLBPluginExitCtx
func FLBPluginExitCtx(ctx unsafe.Pointer) C.int {
	defer func() { the.recovered("end", recover()) }()
	if o, ok := output.FLBPluginGetContext(ctx).(*fluentbit.Output); ok {
		the.close(ctx, o)
	}
	return output.FLB_OK
}

// FLBPluginUnregister frees what FLBPluginRegister allocated.
//
//export FLBPluginUnregister
func FLBPluginUnregister(def unsafe.Pointer) { output.FLBPluginUnregister(def) }
