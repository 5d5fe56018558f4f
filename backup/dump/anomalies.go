package dump

import (
	"context"
	"fmt"
	"slices"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// What makes a table's change worth a flag.
const (
	minRows      = 1000 // smaller tables come and go
	shrinkFactor = 10   // a tenth of the rows is left, or less
)

// findAnomalies compares what a backup holds with what the last one did. They are
// flags, not failures: people do delete tables.
func findAnomalies(before, now pgarchive.Tally) (found []string) {
	if before.Unknown != "" || now.Unknown != "" {
		return nil
	}
	for name, was := range before.Tables {
		is, there := now.Tables[name]
		switch {
		case !there && was.Rows > 0:
			found = append(found, fmt.Sprintf("table %s is gone; it had %d rows", name, was.Rows))
		case was.Rows >= minRows && is.Rows*shrinkFactor <= was.Rows:
			found = append(found, fmt.Sprintf("table %s shrank from %d to %d rows", name, was.Rows, is.Rows))
		}
	}
	slices.Sort(found)
	return found
}

// compareWithLast looks for anomalies against the newest backup there is. Not
// being able to look is no reason to fail.
func (r *Runner) compareWithLast(ctx context.Context, m backup.Manifest) []string {
	catalog, err := backup.ReadCatalog(ctx, r.Store, m.Database)
	if err != nil {
		r.Log.Warn("no comparison with the last backup", "database", m.Database, "error", err)
		return nil
	}
	backups := catalog.Committed(m.Database)
	if len(backups) == 0 {
		return nil
	}
	before, err := backup.ReadManifest(ctx, r.Store, m.Database, backups[0].ID)
	if err != nil {
		r.Log.Warn("no comparison with the last backup", "database", m.Database, "error", err)
		return nil
	}
	found := findAnomalies(before.Content, m.Content)
	for _, anomaly := range found {
		r.Log.Warn("backup differs from the last one", "database", m.Database, "anomaly", anomaly)
	}
	return found
}
