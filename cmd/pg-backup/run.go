package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/dump"
	"github.com/nova/novawire/backup/evidence"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/internal/version"
)

func (p program) runVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Back databases up, then prune (the default)",
		Long:  "Takes one snapshot of each database and streams it to S3. A backup counts once its manifest is committed\nand read back; only then are older ones pruned.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	dryRun := cmd.Flags().Bool("dry-run", false, "prove that a run would work, and change nothing")
	accept := cmd.Flags().Bool("accept-server", false, "continue the backups of another server, which this one replaces")
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		runner, err := s.runner()
		if err != nil {
			return err
		}
		runner.AcceptServer = *accept
		copier, err := s.copier()
		if err != nil {
			return err
		}
		if copier != nil {
			runner.Copy = copier.To
		}
		if *dryRun {
			return s.dryRun(ctx, runner)
		}
		s.result.Databases, err = runner.Run(ctx)
		s.result.Warnings = runner.Warnings
		return errors.Join(err, s.copyBackups(ctx, copier))
	})
	return cmd
}

func (s *session) runner() (*dump.Runner, error) {
	address, err := s.address()
	if err != nil {
		return nil, err
	}
	recipients, err := s.recipients()
	if err != nil {
		return nil, err
	}
	runner := &dump.Runner{
		Source: &postgres.Source{Address: address, Folders: s.folders(), LockWait: s.duration(backupapi.EnvLockWait)},
		Store:  s.store, Now: s.now, Random: random, Log: s.log, Observer: s.recorder, Progress: &s.progress,
		Program: version.String(), Databases: s.databases(address), ExcludeDatabases: s.patterns(backupapi.EnvExcludeDatabases), ExcludeTableData: s.patterns(backupapi.EnvExcludeTableData), Streams: s.streams, Layout: dump.DefaultLayout,
		Recipients: recipients, Policy: s.policy(),
	}
	if s.key != nil {
		runner.Evidence = func(ctx context.Context, database string) (*backup.EvidenceHead, error) {
			return evidence.Head(ctx, s.store, database)
		}
	}
	return runner, nil
}

func random() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return binary.LittleEndian.Uint32(b[:])
}

func (s *session) dryRun(ctx context.Context, runner *dump.Runner) error {
	s.result.DryRun = true
	address, err := s.address()
	if err != nil {
		return err
	}
	findings, err := runner.DryRun(ctx, s.duration(backupapi.EnvDeadline))
	findings = append([]dump.Finding{{Question: "connection", Answer: address.String()}}, findings...)
	printFindings(s.stdout, findings)
	return err
}

func printFindings(to io.Writer, findings []dump.Finding) {
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	for _, f := range findings {
		mark, answer, subject := "ok", f.Answer, f.Database
		if f.Err != nil {
			mark, answer = "BAD", f.Err.Error()
		}
		if subject == "" {
			subject = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", mark, subject, f.Question, oneLine(answer))
	}
	_ = table.Flush() // to a terminal or a pipe: nobody left to tell
}
