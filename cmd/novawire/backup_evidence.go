package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/evidence"
	"github.com/nova/novawire/backup/signature"
	"github.com/nova/novawire/backup/store/folder"
	"github.com/nova/novawire/backup/store/s3"
)

// evidenceFlags say where the evidence is and whom to trust.
type evidenceFlags struct {
	folder, bucket, endpoint, region string
	keys, database, output           string
}

func backupEvidenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "List and verify the signed records of restore drills",
		Long: `Each restore drill that has a signing key leaves a signed record beside the backups. The
records of a database are a chain: each holds the hash of the one before. These commands
read them from a bucket, or from a folder into which the bucket's prefix was downloaded,
for example with aws s3 sync. They need no cluster.

Exit codes: 0 success, 1 a problem was found or the evidence cannot be read, 2 a wrong command line.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		evidenceCommand("list", "List the records", listChains),
		evidenceCommand("verify", "Verify that no record was changed, removed, reordered or added by others", verifyChains),
	)
	return cmd
}

func evidenceCommand(use, short string, write func(io.Writer, []evidence.Chain) error) *cobra.Command {
	var flags evidenceFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long: short + `.

A record that was removed, also from the end of the chain, is noticed if a record or a signed
manifest of a backup is left that was made after it. Whoever can delete objects can remove the
newest records together with all newer backups, and that cannot be noticed: Object Lock
prevents it.`,
		Example: "  aws s3 sync s3://nova-backups/prod/auth proof\n  novawire backup evidence " + use + " --folder proof --verify-key keys.pub",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chains, err := flags.read(cmd.Context())
			if err != nil {
				return err
			}
			if flags.output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				err = encoder.Encode(chains)
			} else {
				err = write(cmd.OutOrStdout(), chains)
			}
			return errors.Join(err, judge(chains))
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.folder, "folder", "", "the downloaded folder")
	f.StringVar(&flags.bucket, "bucket", "", "s3://bucket/prefix, in place of a folder; credentials come from where the AWS CLI has them")
	f.StringVar(&flags.endpoint, "endpoint", "", "an S3-compatible store")
	f.StringVar(&flags.region, "region", "us-east-1", "the bucket's region")
	f.StringVar(&flags.keys, "verify-key", "", "file with the public keys to trust (required)")
	f.StringVar(&flags.database, "database", "", "only this database")
	f.StringVarP(&flags.output, "output", "o", "table", "table or json")
	return cmd
}

// read reads and verifies the chains that the flags choose.
func (f evidenceFlags) read(ctx context.Context) ([]evidence.Chain, error) {
	switch {
	case f.output != "table" && f.output != "json":
		return nil, usageError{fmt.Errorf("backup evidence: output %q: use table or json", f.output)}
	case (f.folder == "") == (f.bucket == ""):
		return nil, usageError{errors.New("backup evidence: name either --folder or --bucket")}
	case f.keys == "":
		return nil, usageError{errors.New("backup evidence: name the file of the public keys with --verify-key")}
	}
	content, err := os.ReadFile(f.keys)
	if err != nil {
		return nil, usageError{fmt.Errorf("backup evidence: %w", err)}
	}
	keys, err := signature.ParseKeys(content)
	if err != nil {
		return nil, usageError{fmt.Errorf("backup evidence: %s: %w", f.keys, err)}
	}
	store, closeStore, err := f.open()
	if err != nil {
		return nil, err
	}
	defer closeStore()
	databases := []string{f.database}
	if f.database == "" {
		if databases, err = evidence.Databases(ctx, store); err != nil {
			return nil, fmt.Errorf("list databases: %w", err)
		}
	}
	chains := []evidence.Chain{}
	for _, database := range databases {
		chain, err := evidence.Verify(ctx, store, keys, database)
		if err != nil {
			return nil, fmt.Errorf("verify the evidence of %s: %w", database, err)
		}
		chains = append(chains, chain)
	}
	return chains, nil
}

func (f evidenceFlags) open() (store backup.Reader, closeStore func(), err error) {
	if f.folder != "" {
		local, err := folder.Open(f.folder)
		if err != nil {
			return nil, nil, err
		}
		return local, func() { _ = local.Close() }, nil
	}
	settings := map[string]string{backupapi.EnvS3Endpoint: f.endpoint, backupapi.EnvAWSRegion: f.region}
	store, err = s3.Open(f.bucket, func(name string) string {
		if value, set := settings[name]; set {
			return value
		}
		return os.Getenv(name)
	})
	return store, func() {}, err
}

// judge returns an error if a chain has problems, or if there is no record at all.
func judge(chains []evidence.Chain) error {
	records, problems := 0, 0
	for _, c := range chains {
		records += len(c.Entries)
		problems += len(c.Problems)
	}
	switch {
	case problems > 0:
		return fmt.Errorf("%d problems were found in the evidence", problems)
	case records == 0:
		return errors.New("there is no evidence: no drill with a signing key has run")
	}
	return nil
}

func listChains(w io.Writer, chains []evidence.Chain) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "DATABASE\tRECORD\tFINISHED\tBACKUP\tRESTORED\tTABLES\tROWS\tSECONDS\tSERVER\tRUN BY\tSIGNED BY")
	for _, c := range chains {
		for _, e := range c.Entries {
			restored := "yes"
			if !e.Verified {
				restored = "NO: " + backup.Summarize(e.Differences)
			}
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%d\t%d\t%.1f\t%s\t%s\t%s\n", printable(c.Database), e.Sequence, e.Finished.Format(time.RFC3339), printable(e.Backup),
				printable(restored), e.Tables, e.Rows, e.RestoreSeconds, printable(e.RestoredInto), printable(e.RunBy+"@"+e.Host), e.SignedBy)
		}
	}
	return table.Flush()
}

func verifyChains(w io.Writer, chains []evidence.Chain) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "DATABASE\tRECORDS\tRESTORED\tLAST\tTAIL\tRESULT")
	for _, c := range chains {
		last, result := "-", "ok"
		if n := len(c.Entries); n > 0 {
			last = c.Entries[n-1].Finished.Format(time.RFC3339)
		}
		if len(c.Problems) > 0 {
			result = fmt.Sprintf("%d PROBLEMS", len(c.Problems))
		}
		tail := "no signed manifest names a record"
		if c.Anchored > 0 {
			tail = fmt.Sprintf("complete up to record %d", c.Anchored)
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\n", printable(c.Database), len(c.Entries), c.Verified(), last, tail, result)
	}
	for _, c := range chains {
		for _, p := range c.Problems {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(c.Database), strings.ToUpper(p.Kind), printable(p.Name), printable(p.Problem))
		}
	}
	return table.Flush()
}

// printable escapes what could move a terminal's cursor: the text is of a bucket.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return '\uFFFD'
		}
		return c
	}, text)
}
