// Package verify proves backups: [Verifier] compares every stored byte with the
// manifest, and [Driller] restores a backup into a scratch server and compares the
// content.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// Verifier reads backups and compares every byte with the manifest.
type Verifier struct {
	Store      backup.Reader
	Identities []age.Identity
	Progress   *backup.Progress
	// Check, if set, reads each archive too: pg_restore reads it and restores nothing.
	Check func(ctx context.Context, archive io.Reader) error
}

// Verify reads a whole backup. Without an identity it compares the stored bytes of
// encrypted streams; opened reports whether it also looked inside.
func (v Verifier) Verify(ctx context.Context, m backup.Manifest) (opened bool, err error) {
	opened = !m.Encrypted || len(v.Identities) > 0
	v.Progress.Begin(m.Database, m.Bytes())
	var content pgarchive.Tally
	for _, s := range m.Streams {
		tally, err := v.stream(ctx, m, s, opened)
		if err != nil {
			return opened, fmt.Errorf("verify %s: %w", s.Title(), err)
		}
		if s.Kind == backup.StreamData {
			tally = pgarchive.Tally{Tables: tally.Tables, Unknown: tally.Unknown}
		}
		content.Add(tally)
	}
	if !opened || content.Unknown != "" {
		return opened, nil
	}
	if found := differences(m.Content, content, nil); len(found) > 0 {
		return opened, backup.Fail(backupapi.CategoryVerify, fmt.Errorf("verify content: %s", backup.Summarize(found)))
	}
	return opened, nil
}

func (v Verifier) stream(ctx context.Context, m backup.Manifest, s backup.Stream, opened bool) (pgarchive.Tally, error) {
	if !opened {
		objects := backup.OpenStored(ctx, v.Store, m, s)
		defer func() { _ = objects.Close() }()
		_, err := io.Copy(io.Discard, objects)
		return pgarchive.Tally{}, err
	}
	r, err := backup.OpenStream(ctx, v.Store, m, s, v.Identities)
	if backup.IsWrongIdentity(err) { // or the damage is where the identity would be found
		if _, damaged := v.stream(ctx, m, s, false); damaged != nil {
			err = damaged
		}
	}
	if err != nil {
		return pgarchive.Tally{}, err
	}
	defer func() { _ = r.Close() }()
	from := v.Progress.Reader(r)
	if s.Kind == backup.StreamGlobals {
		_, err := io.Copy(io.Discard, from)
		return pgarchive.Tally{}, err
	}
	return v.archive(ctx, from)
}

// archive counts an archive. Where Check is set, it reads the same bytes.
func (v Verifier) archive(ctx context.Context, from io.Reader) (pgarchive.Tally, error) {
	if v.Check == nil {
		_, tally, err := pgarchive.Copy(io.Discard, from)
		return tally, backup.DamagedArchive(err)
	}
	out, in := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := v.Check(ctx, out)
		_ = out.CloseWithError(errReaderEnded) // what it did not read must not block us
		checked <- err
	}()
	_, tally, err := pgarchive.Copy(in, from)
	_ = in.CloseWithError(err)
	if checkErr := <-checked; checkErr != nil {
		return tally, backup.Fail(backupapi.CategoryVerify, checkErr)
	}
	if errors.Is(err, errReaderEnded) {
		err = errors.New("pg_restore ended before the archive did")
	}
	return tally, backup.DamagedArchive(err)
}

var errReaderEnded = errors.New("the reader ended")
