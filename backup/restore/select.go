package restore

import (
	"fmt"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// matches tells whether a table, or what belongs to it, is asked for. A name
// without a dot is a schema.
func matches(schema, name string, only []string) bool {
	if len(only) == 0 {
		return true
	}
	for _, o := range only {
		if o == schema || o == pgarchive.SQLName(schema, name) || o == schema+"."+name {
			return true
		}
	}
	return false
}

// selectEntries picks the entries that restore what is asked for: those objects, what
// they need, and what is theirs: indexes, constraints, defaults, grants. Nil is
// everything.
func selectEntries(entries []pgarchive.Entry, only []string) ([]int, error) {
	if len(only) == 0 {
		return nil, nil
	}
	if entries == nil {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("choose what to restore: %w: only a whole restore works", pgarchive.ErrVersion))
	}
	c := selector{byID: map[int]pgarchive.Entry{}, selected: map[int]bool{}}
	for _, e := range entries {
		c.byID[e.ID] = e
	}
	for _, e := range entries {
		if e.Section != pgarchive.SectionPostData && matches(e.Schema, e.Name, only) {
			c.selectWithDependencies(e.ID)
		}
	}
	if len(c.selected) == 0 {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("choose what to restore: nothing in the backup is named %s", strings.Join(only, ", ")))
	}
	return c.withDependents(entries), nil
}

type selector struct {
	byID     map[int]pgarchive.Entry
	selected map[int]bool
}

// selectWithDependencies adds an entry and what it depends on.
func (c *selector) selectWithDependencies(id int) {
	e, there := c.byID[id]
	if !there || c.selected[id] {
		return
	}
	c.selected[id] = true
	for _, dependency := range e.DependsOn {
		c.selectWithDependencies(dependency)
	}
}

// withDependents adds, until nothing is added any more, what depends on chosen
// entries alone: an index on a chosen table, but no foreign key to another.
func (c *selector) withDependents(entries []pgarchive.Entry) (ids []int) {
	for grew := true; grew; {
		grew = false
		for _, e := range entries {
			if !c.selected[e.ID] && c.isPartOfSelection(e) {
				c.selected[e.ID], grew = true, true
			}
		}
	}
	for _, e := range entries { // in the archive's order
		if c.selected[e.ID] {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func (c *selector) isPartOfSelection(e pgarchive.Entry) bool {
	known := 0
	for _, id := range e.DependsOn {
		if _, there := c.byID[id]; !there {
			continue // of the system, or not dumped
		}
		if !c.selected[id] {
			return false
		}
		known++
	}
	switch e.Kind {
	case "VIEW", "MATERIALIZED VIEW", "FUNCTION", "TABLE", "PUBLICATION TABLE":
		return false // they use what is chosen, they are not part of it
	}
	return known > 0
}
