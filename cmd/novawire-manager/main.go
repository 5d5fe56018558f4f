// Command novawire-manager is the program that a cluster runs: the admission webhooks,
// their certificates, and the controllers.
package main

import (
	"context"
	"io"
	_ "time/tzdata" // time zones are checked, and the image has no files of them

	"github.com/nova/novawire/internal/commandline"
)

func main() { commandline.Main(run) }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := managerCommand() //nolint:contextcheck // it gets the context from ExecuteContext
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	commandline.Prepare(root)
	return root.ExecuteContext(ctx)
}
