package main

import (
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// setUpLogging makes this program, controller-runtime and client-go write JSON lines
// with the same keys: time, level, msg and, for an error, error.
func setUpLogging(w io.Writer, level slog.Leveler) {
	handler := logHandler(w, level)
	slog.SetDefault(slog.New(handler))
	log.SetLogger(logr.FromSlogHandler(handler))
	klog.SetSlogLogger(slog.New(handler))
}

func logHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: renameError})
}

// renameError renames the key that logr gives to the error of Error calls.
func renameError(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == "err" {
		a.Key = "error"
	}
	return a
}
