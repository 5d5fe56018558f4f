// Command novawire-sidecar is the collector in every wired pod.
package main

import (
	"os"

	"github.com/nova/novawire/internal/ending"
)

func main() {
	ctx, stop := ending.Context()
	code := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
