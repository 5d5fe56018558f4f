package dump

import (
	"context"
	"fmt"
	"slices"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// excludeDatabases removes the databases that a pattern matches, and remembers them for
// the manifests. A pattern that matches nothing is a warning: it may be misspelt.
func (r *Runner) excludeDatabases(ctx context.Context, names []string) ([]string, error) {
	for _, pattern := range r.ExcludeDatabases {
		matching, err := r.Source.MatchingDatabases(ctx, pattern)
		if err != nil {
			return nil, fmt.Errorf("exclude databases: %w", err)
		}
		before := len(names)
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			matches := slices.Contains(matching, name)
			if matches {
				r.excluded = append(r.excluded, name)
				r.Log.Info("database is left out", "database", name, "pattern", pattern)
			}
			return matches
		})
		if len(names) == before {
			r.warn(fmt.Sprintf("%s: %q matches no database that is backed up", backupapi.EnvExcludeDatabases, pattern))
		}
	}
	if len(names) == 0 {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("exclude databases: %s leaves none to back up", backupapi.EnvExcludeDatabases))
	}
	return names, nil
}

// excludeTableData returns the tables whose data is left out, and notes them in the
// manifest.
func (r *Runner) excludeTableData(ctx context.Context, snapshot backup.Snapshot, m *backup.Manifest) ([]backup.Table, error) {
	var without []backup.Table
	for _, pattern := range r.ExcludeTableData {
		matching, err := snapshot.MatchingTables(ctx, pattern)
		if err != nil {
			return nil, fmt.Errorf("leave out table data: %w", err)
		}
		for _, t := range matching {
			if !contains(without, t) {
				without = append(without, t)
			}
		}
		if len(matching) > 0 {
			r.matched[pattern] = true
		}
	}
	if len(without) == 0 {
		return nil, nil
	}
	for _, t := range without {
		m.WithoutData = append(m.WithoutData, pgarchive.SQLName(t.Schema, t.Name))
		m.Facts.Estimate -= t.Bytes
	}
	slices.Sort(m.WithoutData)
	m.Facts.Estimate = max(0, m.Facts.Estimate)
	r.Log.Info("table data is left out", "database", m.Database, "tables", len(without), "names", backup.Summarize(m.WithoutData))
	dangling, err := snapshot.ReferencesTo(ctx, without)
	if err != nil {
		return nil, fmt.Errorf("look for foreign keys: %w", err)
	}
	for _, reference := range dangling {
		m.Warnings = append(m.Warnings, reference+", whose data is left out: a restore cannot create the foreign key unless no row refers to one")
	}
	return without, nil
}

func contains(tables []backup.Table, t backup.Table) bool {
	return slices.ContainsFunc(tables, func(other backup.Table) bool { return other.Schema == t.Schema && other.Name == t.Name })
}

// warnUnmatched warns of patterns that matched no table of any database.
func (r *Runner) warnUnmatched() {
	for _, pattern := range r.ExcludeTableData {
		if !r.matched[pattern] {
			r.warn(fmt.Sprintf("%s: %q matches no table", backupapi.EnvExcludeTableData, pattern))
		}
	}
}

func (r *Runner) warn(warning string) {
	r.Log.Warn(warning)
	r.Warnings = append(r.Warnings, warning)
}
