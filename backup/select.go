package backup

import (
	"fmt"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// wanted tells whether a table, or what belongs to it, is asked for. A name
// without a dot is a schema.
func wanted(schema, name string, only []string) bool {
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

// choose picks the entries that restore what is asked for: those objects, what
// they need, and what is theirs: indexes, constraints, defaults, grants. Nil is
// everything.
func choose(entries []pgarchive.Entry, only []string) ([]int, error) {
	if len(only) == 0 {
		return nil, nil
	}
	if entries == nil {
		return nil, Fail(backupapi.CategoryUsage, fmt.Errorf("choose what to restore: %w: only a whole restore works", pgarchive.ErrVersion))
	}
	c := chooser{byID: map[int]pgarchive.Entry{}, chosen: map[int]bool{}}
	for _, e := range entries {
		c.byID[e.ID] = e
	}
	for _, e := range entries {
		if e.Section != pgarchive.SectionPostData && wanted(e.Schema, e.Name, only) {
			c.need(e.ID)
		}
	}
	if len(c.chosen) == 0 {
		return nil, Fail(backupapi.CategoryUsage, fmt.Errorf("choose what to restore: nothing in the backup is named %s", strings.Join(only, ", ")))
	}
	return c.withDependents(entries), nil
}

type chooser struct {
	byID   map[int]pgarchive.Entry
	chosen map[int]bool
}

// need adds an entry and what it depends on.
func (c *chooser) need(id int) {
	e, there := c.byID[id]
	if !there || c.chosen[id] {
		return
	}
	c.chosen[id] = true
	for _, dependency := range e.DependsOn {
		c.need(dependency)
	}
}

// withDependents adds, until nothing is added any more, what depends on chosen
// entries alone: an index on a chosen table, but no foreign key to another.
func (c *chooser) withDependents(entries []pgarchive.Entry) (ids []int) {
	for grew := true; grew; {
		grew = false
		for _, e := range entries {
			if !c.chosen[e.ID] && c.belongs(e) {
				c.chosen[e.ID], grew = true, true
			}
		}
	}
	for _, e := range entries { // in the archive's order
		if c.chosen[e.ID] {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func (c *chooser) belongs(e pgarchive.Entry) bool {
	known := 0
	for _, id := range e.DependsOn {
		if _, there := c.byID[id]; !there {
			continue // of the system, or not dumped
		}
		if !c.chosen[id] {
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
