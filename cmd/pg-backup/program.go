package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/version"
)

// program is what the process gives: tests give their own.
type program struct {
	getenv         func(string) string
	now            func() time.Time
	stdin          io.Reader
	stdout, stderr io.Writer
}

// run executes one command line and returns the exit code.
func (p program) run(ctx context.Context, args []string) int {
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
	fmt.Fprintln(p.stderr, "pg-backup:", err)
	return backupapi.CategoryUsage.ExitCode() // cobra's own, or found before anything was begun
}

// reportedError is one that the log and the termination message tell already.
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
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	for _, v := range backupapi.Environment() {
		root.PersistentFlags().String(v.Flag(), "", usage(v))
	}
	run := p.runVerb()
	root.RunE = run.RunE
	root.Flags().AddFlagSet(run.Flags())
	root.AddCommand(run, p.listVerb(), p.verifyVerb(), p.restoreVerb(), p.drillVerb(), p.checkVerb(), p.pruneVerb(), p.holdVerb(), p.installVerb())
	return root
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

// usageError is a mistake of whoever wrote the command line or the environment.
func usageError(format string, args ...any) error {
	return backup.Fail(backupapi.CategoryUsage, fmt.Errorf(format, args...))
}
