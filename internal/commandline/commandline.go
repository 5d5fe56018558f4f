// Package commandline has what novawire and novawire-manager share: how a program
// starts and ends, its exit codes, and how it refuses a wrong command line.
package commandline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nova/novawire/internal/signals"
	"github.com/nova/novawire/internal/validate"
)

// Exit codes.
const (
	ExitProblem = 1 // bad input, or what was asked for did not succeed
	ExitUsage   = 2 // the command line itself is wrong
)

// Main runs a program until it ends or is signalled, prints its error and exits.
func Main(run func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error) {
	MainReporting(run, func(err error) { fmt.Fprintln(os.Stderr, err) })
}

// MainReporting is like Main with another way to report an error.
func MainReporting(run func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error, report func(error)) {
	ctx, stop := signals.Context()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		report(err)
		os.Exit(ExitCode(err))
	}
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// UsageError returns an error about a mistake in the command line.
func UsageError(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// ExitCode returns the exit code for an error of a program.
func ExitCode(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return ExitUsage
	}
	return ExitProblem
}

// Prepare makes a root command and its subcommands print nothing by themselves, and
// answer words and flags that they do not take with a [UsageError].
func Prepare(root *cobra.Command) {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(flagError)
	refuseWrongArguments(root)
}

// refuseWrongArguments sets unknownCommand for each command with subcommands, and makes
// the errors of the rules of all others usage errors.
func refuseWrongArguments(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args = unknownCommand
		if cmd.RunE == nil {
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	} else if rule := cmd.Args; rule != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := rule(cmd, args)
			if err == nil || ExitCode(err) == ExitUsage {
				return err
			}
			return UsageError("%s: %w", name(cmd), err)
		}
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
	return UsageError("%s: %w", cmd.CommandPath(), validate.UnknownWord(args[0], "command", names))
}

// NoArguments is the rule of commands that take flags only.
func NoArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return UsageError("%s: it takes no argument, got %q", name(cmd), args[0])
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
	return UsageError("%s: %w", name(cmd), err)
}

// name returns the command's path without the program, or the program for itself.
func name(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().CommandPath()+" ")
}
