package dump

import (
	"context"
	"fmt"
	"slices"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// Thresholds of a change that is reported.
const (
	minRows      = 1000 // smaller tables are not compared
	shrinkFactor = 10   // a tenth of the rows is left, or less
)

// findAnomalies compares the content of a backup with that of the last one. An
// anomaly is no failure: tables are deleted on purpose too. Tables whose data is left
// out are not compared.
func findAnomalies(before, now pgarchive.Tally, without []string) (found []string) {
	if before.Unknown != "" || now.Unknown != "" {
		return nil
	}
	for name, was := range before.Tables {
		if slices.Contains(without, name) {
			continue
		}
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

// compareWithLast returns the anomalies against the newest good backup. A backup does
// not fail because there is none or it cannot be read.
func (r *Runner) compareWithLast(ctx context.Context, m backup.Manifest) []string {
	inventory, err := backup.ReadInventory(ctx, r.Store, m.Database)
	if err != nil {
		r.Log.Warn("backup was not compared with the last one", "database", m.Database, "error", err)
		return nil
	}
	last, found := inventory.Backups[m.Database].Newest(backup.Record.Good)
	if !found {
		return nil
	}
	before, err := backup.ReadManifest(ctx, r.Store, m.Database, last.Entry.ID)
	if err != nil {
		r.Log.Warn("backup was not compared with the last one", "database", m.Database, "error", err)
		return nil
	}
	anomalies := findAnomalies(before.Content, m.Content, m.WithoutData)
	for _, anomaly := range anomalies {
		r.Log.Warn("backup differs from the last one", "database", m.Database, "anomaly", anomaly)
	}
	return anomalies
}
