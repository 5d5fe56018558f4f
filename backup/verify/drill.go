package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"filippo.io/age"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
	"github.com/nova/novawire/backup/restore"
)

// Driller restores backups into servers to throw away, and says whether what came
// back is what was taken.
type Driller struct {
	Store      backup.Store
	Scratch    backup.Scratch
	Now        func() time.Time
	Log        *slog.Logger
	Observer   backup.Observer
	Progress   *backup.Progress
	Program    string
	Identities []age.Identity
	Streams    int
	CheckFirst bool // see [restore.Restorer]
	// Evidence, if set, keeps the verdict as evidence. content is what was counted in the
	// restored database.
	Evidence func(ctx context.Context, m backup.Manifest, v backup.Verification, content pgarchive.Tally) error
}

// Drill restores one backup and writes what it found beside the manifest, also
// when that is bad news. An error of category verify says that the backup is not
// the way back that it promised to be; another one, that this is not known.
func (d Driller) Drill(ctx context.Context, m backup.Manifest) (v backup.Verification, err error) {
	v = backup.Verification{Format: 1, ID: m.ID, Database: m.Database, Started: d.Now().UTC(), Program: d.Program}
	server, err := d.Scratch.Start(ctx, m)
	if err != nil {
		return v, backup.Fail(backupapi.CategorySource, fmt.Errorf("start a scratch server: %w", err))
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	v.Server = server.Version()
	restorer := restore.Restorer{Store: d.Store, Target: server, Log: d.Log, Observer: d.Observer, Progress: d.Progress, Identities: d.Identities, Streams: d.Streams, Globals: true, CheckFirst: d.CheckFirst}
	var content pgarchive.Tally
	began := d.Now()
	v.Warnings, err = restorer.Restore(ctx, m, m.Database)
	v.Seconds = d.Now().Sub(began).Seconds()
	if err != nil {
		if backup.Category(ctx, err) != backupapi.CategoryVerify {
			return v, fmt.Errorf("restore: %w", err)
		}
		v.Differences = []string{err.Error()}
	} else if content, err = d.compare(ctx, server, m, &v); err != nil {
		return v, fmt.Errorf("compare: %w", err)
	}
	v.Verified = len(v.Differences) == 0
	if err := v.Write(ctx, d.Store); err != nil {
		return v, backup.Fail(backupapi.CategoryStore, err)
	}
	if d.Evidence != nil {
		if err := d.Evidence(ctx, m, v, content); err != nil {
			return v, backup.Fail(backupapi.CategoryStore, fmt.Errorf("write evidence: %w", err))
		}
	}
	if !v.Verified {
		return v, backup.Fail(backupapi.CategoryVerify, fmt.Errorf("compare with the manifest: %s", backup.Summarize(v.Differences)))
	}
	return v, nil
}

// compare dumps the restored database through the counters of a backup.
func (d Driller) compare(ctx context.Context, server backup.ScratchServer, m backup.Manifest, v *backup.Verification) (pgarchive.Tally, error) {
	ctx, end := d.Observer.Step(ctx, "compare")
	content, err := recount(ctx, server, m.Database)
	end(err)
	if err != nil {
		return content, backup.Fail(backupapi.CategorySource, err)
	}
	v.Tables, v.Rows = len(content.Tables), content.Rows()
	switch {
	case m.Content.Unknown != "":
		v.Warnings = append(v.Warnings, "restored, but not compared: the backup was not counted: "+m.Content.Unknown)
	case content.Unknown != "":
		v.Warnings = append(v.Warnings, "restored, but not compared: "+content.Unknown)
	default:
		v.Differences = differences(m.Content, content, m.WithoutData)
	}
	return content, nil
}
