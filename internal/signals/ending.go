// Package ending hears the signals that end a program from its first
// milliseconds on. Packages are initialized in the order of their import paths
// (Go specification, "Program initialization"), so this one goes before most
// dependencies, whose initialization takes long enough for a short Job's pod to
// end meanwhile: the first process of a container that hears no SIGTERM yet exits
// with 2, without its last words.
package signals

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

var signalled, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)

// Context ends with the first SIGTERM or interrupt, be it one that came before
// main. The function gives the signals back.
func Context() (context.Context, context.CancelFunc) { return signalled, stop }
