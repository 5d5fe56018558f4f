package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/internal/version"
)

// program is the process's environment. Tests replace it.
type program struct {
	getenv         func(string) string
	now            func() time.Time
	stdin          io.Reader
	stdout, stderr io.Writer
	// terminal is stderr without escapes, for the progress bar.
	terminal io.Writer
}

// run executes one command line and returns the exit code. What it prints is
// escaped, so that no name reaches a terminal raw.
func (p program) run(ctx context.Context, args []string) int {
	p.terminal = p.stderr
	p.stdout, p.stderr = printableWriter{p.stdout}, printableWriter{p.stderr}
	root := p.command() //nolint:contextcheck // its verbs get the context from ExecuteContext
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var reported reportedError
	if errors.As(err, &reported) {
		return reported.category.ExitCode()
	}
	p.earlyLogger(args).Error("command line was refused", "category", backupapi.CategoryUsage, "exit_code", backupapi.CategoryUsage.ExitCode(), "error", err)
	return backupapi.CategoryUsage.ExitCode() // an error of cobra's: the verb did not begin
}

// earlyLogger returns the logger for errors that are found before the settings are
// read. It takes LOG_FORMAT from the flag or the variable.
func (p program) earlyLogger(args []string) *slog.Logger {
	name := backupapi.EnvLogFormat
	format := p.getenv(name)
	flag := "--" + (backupapi.Variable{Name: name}).Flag()
	for i, arg := range args {
		if value, found := strings.CutPrefix(arg, flag+"="); found {
			format = value
		} else if arg == flag && i+1 < len(args) {
			format = args[i+1]
		}
	}
	return settings{values: map[string]string{name: format}}.logger(p)
}

// reportedError is an error that is already in the log and the termination message.
type reportedError struct {
	category backupapi.Category
	error
}

func (e reportedError) Unwrap() error { return e.error }

func (p program) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "pg-backup",
		Short:         "Backs PostgreSQL up to S3, and proves that it comes back",
		Long:          "pg-backup streams unmodified pg_dump output to S3, compressed, checksummed and, if asked, encrypted.\nWithout a verb it runs a backup. Every flag is a variable of the environment too.\n\n" + exitCodes(),
		Version:       version.String(),
		Args:          unknownVerb,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	for _, v := range backupapi.Environment() {
		root.PersistentFlags().String(v.Flag(), "", usage(v))
	}
	run := p.runVerb()
	root.RunE = run.RunE
	root.Flags().AddFlagSet(run.Flags())
	root.AddCommand(run, p.listVerb(), p.verifyVerb(), p.restoreVerb(), p.drillVerb(), p.checkVerb(), p.pruneVerb(), p.holdVerb(), p.evidenceVerb(), p.installVerb())
	return root
}

// unknownVerb refuses a word that is no verb and names the nearest one.
func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return validate.UnknownWord(args[0], "verb", names)
}

func usage(v backupapi.Variable) string {
	text := strings.ReplaceAll(v.Meaning, "`", "") + " [" + strings.ReplaceAll(v.Allowed, "`", "") + "]"
	if v.Default != "" {
		text += " (default " + v.Default + ")"
	}
	return text + " $" + v.Name
}

func exitCodes() string {
	var out strings.Builder
	out.WriteString("Exit codes:\n")
	for _, exit := range backupapi.Exits() {
		name := string(exit.Category)
		if name == "" {
			name = "success"
		}
		fmt.Fprintf(&out, "  %3d  %-12s %s\n", exit.Code, name, exit.Meaning)
	}
	return out.String()
}

// usageError returns an error in the command line or the environment.
func usageError(format string, args ...any) error {
	return backup.Fail(backupapi.CategoryUsage, fmt.Errorf(format, args...))
}
