// Package signals handles SIGTERM and SIGINT from the first milliseconds of a
// program. Packages are initialized in the order of their import paths (Go
// specification, "Program initialization"), so this one is initialized before most
// dependencies. Their initialization takes long enough for the pod of a short Job to
// end in the meantime. Without a handler, SIGTERM ends the process before it can
// report anything.
package signals

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

var signalled, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)

// Context returns a context that ends with the first SIGTERM or interrupt, even one
// before main. The function restores the default handling of the signals.
func Context() (context.Context, context.CancelFunc) { return signalled, stop }
