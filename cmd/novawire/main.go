// Command novawire is the command line of Novawire: it previews what a cluster does to
// manifests, runs and shows backups, and checks a deployment.
package main

import (
	"context"
	"io"
	_ "time/tzdata" // time zones are checked where no system has them

	"github.com/spf13/cobra"

	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/version"
)

func main() { commandline.Main(run) }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := rootCommand() //nolint:contextcheck // its commands get the context from ExecuteContext
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "novawire",
		Short: "Wires Kubernetes workloads for observability and backup",
		Long: `Novawire wires the workloads of a namespace that is labelled nova.dev/wiring: enabled
for observability and backup, without touching their manifests. This is its command line;
in a cluster runs novawire-manager.

Exit codes: 0 success, 1 bad input or a problem found, 2 a wrong command line.`,
		Version: version.String(),
	}
	root.AddCommand(previewCommand(), smokeCommand(), backupCommand(), checkCommand())
	commandline.Prepare(root)
	return root
}
