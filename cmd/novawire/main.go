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
	"github.com/spf13/pflag"

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
for observability and backup, without touching their manifests.

Exit codes: 0 success, 1 bad input or a problem found, 2 a wrong command line.`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("novawire {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(previewCommand(), smokeCommand(), backupCommand(), checkCommand(), webhookCommand())
	refuseWrongArguments(root)
	return root
}

// refuseWrongArguments makes each command answer words that it does not take with a
// usageError.
func refuseWrongArguments(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args = unknownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	for _, c := range cmd.Commands() {
		refuseWrongArguments(c)
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
	return usageError{fmt.Errorf("%s: %w", cmd.CommandPath(), validate.UnknownWord(args[0], "command", names))}
}

// noArguments is the rule of commands that take flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s: it takes no argument, got %q", strings.TrimPrefix(cmd.CommandPath(), "novawire "), args[0])}
}

// flagError names the nearest flag for one that is not known.
func flagError(cmd *cobra.Command, err error) error {
	if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if nearest := validate.Nearest(unknown.GetSpecifiedName(), names); nearest != "" {
			err = fmt.Errorf("%w; did you mean --%s?", err, nearest)
		}
	}
	return usageError{fmt.Errorf("%s: %w", strings.TrimPrefix(cmd.CommandPath(), "novawire "), err)}
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
