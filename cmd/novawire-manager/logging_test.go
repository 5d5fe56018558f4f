package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func TestSetUpLogging_OneSetOfKeys(t *testing.T) {
	var out bytes.Buffer
	handler := logHandler(&out, slog.LevelInfo)
	klog.SetSlogLogger(slog.New(handler))
	t.Cleanup(klog.ClearLogger)
	cause := errors.New("the cause")
	for name, write := range map[string]func(){
		"slog":               func() { slog.New(handler).Error("it failed", "error", cause) },
		"controller-runtime": func() { logr.FromSlogHandler(handler).WithName("x").Error(cause, "it failed") },
		"client-go":          func() { klog.ErrorS(cause, "it failed") },
	} {
		out.Reset()
		write()
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Errorf("%s: %v: %s", name, err, &out)
			continue
		}
		if line["time"] == nil || line["level"] != "ERROR" || line["msg"] != "it failed" || line["error"] != "the cause" {
			t.Errorf("%s: %s", name, &out)
		}
	}
}
