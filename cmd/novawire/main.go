// Command novawire is the command line of Novawire: it previews what a cluster does to
// manifests, runs and shows backups, and checks a deployment.
package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	_ "time/tzdata" // time zones are checked where no system has them

	"github.com/spf13/cobra"

	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/version"
)

func main() {
	name := displayName(os.Args[0])
	commandline.Main(func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
		return runAs(ctx, name, args, stdin, stdout, stderr)
	})
}

// displayName returns what users type to run the program: kubectl novawire if kubectl
// runs it as its plugin.
func displayName(program string) string {
	if strings.HasPrefix(filepath.Base(program), "kubectl-") {
		return "kubectl novawire"
	}
	return "novawire"
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return runAs(ctx, "novawire", args, stdin, stdout, stderr)
}

func runAs(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := rootCommand(name) //nolint:contextcheck // its commands get the context from ExecuteContext
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

func rootCommand(name string) *cobra.Command {
	root := &cobra.Command{
		Use:   "novawire",
		Short: "Wires Kubernetes workloads for observability and backup",
		Long: `Novawire wires the workloads of a namespace that is labelled nova.dev/wiring: enabled
for observability and backup, without touching their manifests. This is its command line;
novawire-manager is what runs in a cluster.

Exit codes: 0 success, 1 bad input or a problem found, 2 a wrong command line.`,
		Version:     version.String(),
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: name},
	}
	root.AddCommand(previewCommand(), policyCommand(), explainCommand(), statusCommand(), telemetryCommand(), dashboardCommand(), smokeCommand(), backupCommand(), checkCommand(), versionCommand())
	commandline.Prepare(root)
	nameInExamples(root, name)
	return root
}

// nameInExamples makes the examples of all commands call the program by its name.
func nameInExamples(cmd *cobra.Command, name string) {
	cmd.Example = strings.ReplaceAll(cmd.Example, "novawire ", name+" ")
	for _, c := range cmd.Commands() {
		nameInExamples(c, name)
	}
}
