package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/evidence"
	"github.com/nova/novawire/backup/pgarchive"
)

// writeEvidence adds the record of a drill to the chain of its database.
func (s *session) writeEvidence(ctx context.Context, m backup.Manifest, v backup.Verification, content pgarchive.Tally) error {
	record, err := evidence.New(m, v, content)
	if err != nil {
		return err
	}
	if record.Manifest, err = s.manifestSum(ctx, m); err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	record.Location, record.Finished, record.RunBy = s.store.Location(), s.now().UTC(), s.runBy()
	if host, err := os.Hostname(); err == nil {
		record.Host = host
	}
	record, err = evidence.Append(ctx, s.store, *s.key, record)
	if err != nil {
		return err
	}
	s.log.Info("evidence written", "database", m.Database, "backup", m.ID, "record", record.Sequence, "verified", record.Verified)
	return s.checkChain(ctx, m.Database)
}

// checkChain refuses a chain that was tampered with. The new record is in it already, so
// that the evidence goes on.
func (s *session) checkChain(ctx context.Context, database string) error {
	if !s.verifies() {
		return nil
	}
	chain, err := evidence.Verify(ctx, s.store, s.keys, database)
	if err != nil || len(chain.Problems) == 0 {
		return err
	}
	var problems []string
	for _, p := range chain.Problems {
		problems = append(problems, fmt.Sprintf("%s %s: %s", p.Name, p.Kind, p.Problem))
	}
	return backup.Fail(backupapi.CategoryVerify, fmt.Errorf("the evidence was tampered with: %s", backup.Summarize(problems)))
}

// manifestSum returns the SHA-256 of a backup's manifest as it is stored.
func (s *session) manifestSum(ctx context.Context, m backup.Manifest) (string, error) {
	body, err := s.store.Open(ctx, m.Folder()+backup.ManifestName)
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (s *session) runBy() string {
	if name := s.values[backupapi.EnvRunBy]; name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("user %d", os.Getuid())
}

func (p program) evidenceVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:       "evidence [list | verify]",
		Short:     "List or verify the signed records of drills",
		Long:      "Reads the chain of records of each database and verifies it with the keys of VERIFY_KEY_FILE. A record that was changed,\nremoved, reordered or added by others is found; what was removed from the end, as far as a signed manifest names it.\n\n" + exitCodes(),
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"list", "verify"},
	}
	database := cmd.Flags().String("database", "", "only the records of this database")
	output := cmd.Flags().StringP("output", "o", "table", "table or json")
	addFromCopy(cmd)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, args []string) error {
		if *output != "table" && *output != "json" {
			return usageError("--output is %q: use table or json", *output)
		}
		if err := s.require(backupapi.EnvVerifyKeyFile); err != nil {
			return err
		}
		chains, err := evidence.VerifyAll(ctx, s.store, s.keys, *database)
		if err != nil {
			return backup.Fail(backupapi.CategoryStore, err)
		}
		switch {
		case *output == "json":
			encoder := json.NewEncoder(s.stdout)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(chains)
		case len(args) == 1 && args[0] == "verify":
			err = evidence.WriteVerdicts(s.stdout, chains)
		default:
			err = evidence.WriteRecords(s.stdout, chains)
		}
		return errors.Join(err, backup.Fail(backupapi.CategoryVerify, evidence.Judge(chains)))
	})
	return cmd
}
