package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/user"

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
	return nil
}

// manifestSum returns the SHA-256 of a backup's manifest as it is stored.
func (s *session) manifestSum(ctx context.Context, m backup.Manifest) (string, error) {
	body, err := s.store.Open(ctx, m.Folder()+backup.ManifestName)
	if err != nil {
		return "", err
	}
	defer body.Close()
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
