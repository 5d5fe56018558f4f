package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/backup/evidence"
	"github.com/nova/novawire/backup/signature"
	"github.com/nova/novawire/backup/store/folder"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/commandline"
)

func backupEvidenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "List and verify the signed records of restore drills",
		Long: `Each restore drill that has a signing key leaves a signed record beside the backups. The
records of a database are a chain: each holds the hash of the one before. These commands
read them from a folder into which the bucket's prefix was downloaded, without a cluster, or
in a Job from the bucket of a StatefulSet, Secret or Service.

Exit codes: 0 success, 1 a problem was found or the evidence cannot be read, 2 a wrong command line.`,
	}
	cmd.AddCommand(
		evidenceCommand("list", "List the records", evidence.WriteRecords),
		evidenceCommand("verify", "Verify that no record was changed, removed, reordered or added by others", evidence.WriteVerdicts),
	)
	return cmd
}

// evidenceFlags say where the evidence is and whom to trust.
type evidenceFlags struct {
	backup                         backupFlags
	folder, keys, database, output string
	fromCopy                       bool
}

func evidenceCommand(use, short string, write func(io.Writer, []evidence.Chain) error) *cobra.Command {
	var flags evidenceFlags
	cmd := &cobra.Command{
		Use:   use + " (--folder FOLDER --verify-key FILE | sts/NAME)",
		Short: short,
		Long: short + `.

A record that was removed, also from the end of the chain, is noticed if a record or a signed
manifest of a backup is left that was made after it. Whoever can delete objects can remove the
newest records together with all newer backups, and that cannot be noticed: Object Lock
prevents it.

Exit codes: 0 success, 1 a problem was found or the evidence cannot be read, 2 a wrong command line.`,
		Example: "  aws s3 sync s3://nova-backups/prod/auth proof\n  novawire backup evidence " + use + " --folder proof --verify-key keys.pub\n  novawire backup evidence " + use + " sts/postgres -n nova",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (flags.folder == "") == (len(args) == 0):
				return commandline.UsageError("backup evidence %s: name either a folder with --folder, or one database server", use)
			case len(args) == 1 && flags.keys != "":
				return commandline.UsageError("backup evidence %s: --verify-key is for --folder; a Job has the keys of its annotation", use)
			case len(args) == 1:
				more := append([]string{use}, flagArgs("--database", flags.database, "--output", flags.output, "--from-copy", trueOrNone(flags.fromCopy))...)
				return flags.backup.runVerb(cmd, args, resources.VerbEvidence, more)
			}
			return flags.readFolder(cmd.Context(), cmd.OutOrStdout(), write)
		},
	}
	flags.backup.register(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.folder, "folder", "", "the downloaded folder")
	f.StringVar(&flags.keys, "verify-key", "", "file with the public keys to trust, one a line")
	f.StringVar(&flags.database, "database", "", "only this database")
	f.StringVarP(&flags.output, "output", "o", "", "table or json")
	registerFromCopy(cmd, &flags.fromCopy)
	return cmd
}

// readFolder verifies the chains of a folder and writes them.
func (f evidenceFlags) readFolder(ctx context.Context, to io.Writer, write func(io.Writer, []evidence.Chain) error) error {
	switch {
	case f.output != "" && f.output != "table" && f.output != "json":
		return commandline.UsageError("backup evidence: output %q: use table or json", f.output)
	case f.keys == "":
		return commandline.UsageError("backup evidence: name the file of the public keys with --verify-key")
	}
	content, err := os.ReadFile(f.keys)
	if err != nil {
		return commandline.UsageError("backup evidence: %w", err)
	}
	keys, err := signature.ParseKeys(content)
	if err != nil {
		return commandline.UsageError("backup evidence: %s: %w", f.keys, err)
	}
	store, err := folder.Open(f.folder)
	if err != nil {
		return commandline.UsageError("backup evidence: %w", err)
	}
	defer func() { _ = store.Close() }() // it was only read
	chains, err := evidence.VerifyAll(ctx, store, keys, f.database)
	if err != nil {
		return err
	}
	if f.output == "json" {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(chains)
	} else {
		err = write(to, chains)
	}
	return errors.Join(err, evidence.Judge(chains))
}
