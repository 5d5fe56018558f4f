//go:build cgo

// Command novawire-fluentbit is the Fluent Bit output plugin novawire, built with
// -buildmode=c-shared. C calls only the functions of this file. None of them
// panics. FLBPluginFlushCtx runs on a small stack: it queues the chunk and waits
// for the result.
package main

import "C"

import (
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"

	"github.com/nova/novawire/fluentbit"
)

func main() {} // never runs: the build mode makes a library

// FLBPluginRegister describes the plugin to Fluent Bit.
//
//export FLBPluginRegister
func FLBPluginRegister(def unsafe.Pointer) C.int {
	return C.int(output.FLBPluginRegister(def, "novawire", "Structured logs to Amazon CloudWatch Logs"))
}

// FLBPluginInit starts an instance for one output of the configuration.
//
//export FLBPluginInit
func FLBPluginInit(plugin unsafe.Pointer) (code C.int) {
	defer func() {
		if state.recovered("start", recover()) {
			code = output.FLB_ERROR
		}
	}()
	if err := watchSignals(); err != nil {
		state.log.Warn("SIGTERM not watched; the end may take longer", "error", err)
	}
	o, err := state.open(func(key string) string { return output.FLBPluginConfigKey(plugin, key) })
	if err != nil {
		state.log.Error("plugin not started", "error", err)
		return output.FLB_ERROR
	}
	output.FLBPluginSetContext(plugin, o)
	return output.FLB_OK
}

// FLBPluginFlushCtx delivers a chunk and returns Fluent Bit's result code.
//
//export FLBPluginFlushCtx
func FLBPluginFlushCtx(ctx, data unsafe.Pointer, length C.int, tag *C.char) (code C.int) {
	defer func() {
		if state.recovered("flush", recover()) {
			code = output.FLB_RETRY
		}
	}()
	o := state.outputOf(ctx)
	if o == nil {
		return output.FLB_RETRY
	}
	var n int
	for ; *(*byte)(unsafe.Add(unsafe.Pointer(tag), n)) != 0; n++ {
	}
	return C.int(o.Submit(unsafe.Slice((*byte)(data), int(length)), unsafe.Slice((*byte)(unsafe.Pointer(tag)), n)))
}

// FLBPluginExitCtx stops an instance.
//
//export FLBPluginExitCtx
func FLBPluginExitCtx(ctx unsafe.Pointer) C.int {
	defer func() { state.recovered("end", recover()) }()
	if o, ok := output.FLBPluginGetContext(ctx).(*fluentbit.Output); ok {
		state.close(ctx, o)
	}
	return output.FLB_OK
}

// FLBPluginUnregister frees what FLBPluginRegister allocated.
//
//export FLBPluginUnregister
func FLBPluginUnregister(def unsafe.Pointer) { output.FLBPluginUnregister(def) }
