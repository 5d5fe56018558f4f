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
	root.SetHelpCommand(helpCommand())
	refuseWrongArguments(root)
}

// helpCommand is cobra's, except that it refuses a word that is no command: cobra's own
// prints the help of the program and succeeds.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print the help of a command",
		RunE: func(help *cobra.Command, args []string) error {
			cmd, rest, err := help.Root().Find(args)
			if err == nil && cmd.HasSubCommands() {
				err = unknownCommand(cmd, rest)
			}
			if err != nil {
				return err
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		},
		ValidArgsFunction: func(help *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
			if cmd, _, err := help.Root().Find(args); err == nil {
				for _, c := range cmd.Commands() {
					if c.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
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

// flagError names the nearest flag for one that is not known. Where the command is not
// known either, it names the command: its flags cannot be known.
func flagError(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
		return unknownCommand(cmd, words)
	}
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
