// Command novawire-manager is the program that a cluster runs: the admission webhooks,
// their certificates, and the controllers.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	_ "time/tzdata" // time zones are checked, and the image has no files of them

	"github.com/nova/novawire/internal/commandline"
)

func main() { commandline.MainReporting(run, report) }

// report logs why the program ended, as a line like all others. A wrong command line is refused
// before the log is set up.
func report(err error) {
	if commandline.ExitCode(err) == commandline.ExitUsage {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	slog.Error("novawire-manager does not run", "error", err)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := managerCommand() //nolint:contextcheck // it gets the context from ExecuteContext
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	commandline.Prepare(root)
	return root.ExecuteContext(ctx)
}
