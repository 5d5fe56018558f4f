package main

import (
	"context"
	"fmt"
	"io"

	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/internal/version"
	"github.com/nova/novawire/sidecar"
)

const usage = `novawire-sidecar receives OTLP from the application of its pod, by gRPC and HTTP,
and sends it to one backend. NOVAWIRE_* variables configure it: see docs/sidecar.md.

  novawire-sidecar                run until SIGTERM, then print the ledger
  novawire-sidecar print-config   print the resulting configuration, without secrets
  novawire-sidecar --version
  novawire-sidecar --help

Exit codes: 0 success; 1 failure, explained on standard error; 2 wrong usage.
A bad setting is not a failure: it is logged, and its default is used.
`

const exitUsage = 2

// run is the whole program. It has no flags: variables are the one way to configure it.
func run(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) == 0:
		err = sidecar.Run(ctx, lookup, stdout)
	case len(args) == 1 && args[0] == "print-config":
		err = sidecar.PrintConfig(lookup, stdout, stderr)
	case len(args) == 1 && args[0] == "--version":
		_, err = fmt.Fprintln(stdout, "novawire-sidecar", version.String())
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		_, err = fmt.Fprint(stdout, usage)
	case len(args) > 1:
		fmt.Fprintf(stderr, "novawire-sidecar: it takes one argument at most, got %q\n", args)
		return exitUsage
	default:
		fmt.Fprintln(stderr, "novawire-sidecar:", validate.UnknownWord(args[0], "command", []string{"print-config", "--version", "--help"}))
		return exitUsage
	}
	if err != nil {
		fmt.Fprintln(stderr, "novawire-sidecar:", err)
		return 1
	}
	return 0
}
