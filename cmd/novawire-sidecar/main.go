// Command novawire-sidecar is the collector in every wired pod.
package main

import (
	"os"

	"github.com/nova/novawire/internal/signals"
)

func main() {
	ctx, stop := signals.Context()
	code := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
