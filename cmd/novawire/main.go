// Command novawire wires Kubernetes workloads for observability and backup. It is the
// command-line tool and, as novawire webhook, the manager that a cluster runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // time zones are checked where no system has them

	"github.com/spf13/cobra"

	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/internal/version"
)

// Exit codes.
const (
	exitProblem = 1 // bad input, or what was asked for did not succeed
	exitUsage   = 2 // the command line itself is wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:   "novawire",
		Short: "Wires Kubernetes workloads for observability and backup",
		Long: `Novawire wires the workloads of a namespace that is labelled nova.dev/wiring: enabled
for observability and backup, without touching their manifests.

Exit codes: 0 success, 1 bad input or a problem found, 2 a wrong command line.`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("novawire {{.Version}}\n")
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(previewCommand(), smokeCommand(), backupCommand(), checkCommand(), webhookCommand())
	refuseUnknownCommands(root)
	return root.ExecuteContext(ctx)
}

// refuseUnknownCommands sets unknownCommand for each command with subcommands.
func refuseUnknownCommands(cmd *cobra.Command) {
	if !cmd.HasSubCommands() {
		return
	}
	cmd.Args = unknownCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	for _, c := range cmd.Commands() {
		refuseUnknownCommands(c)
	}
}

// unknownCommand refuses a word that is no subcommand and names the nearest one.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := "; use one of " + strings.Join(names, ", ")
	if nearest := validate.Nearest(args[0], names); nearest != "" {
		hint = "; did you mean " + nearest + "?"
	}
	return usageError{fmt.Errorf("%s: %q is not a command%s", cmd.CommandPath(), args[0], hint)}
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func exitCode(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitProblem
}
