package restore

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// selection is the part of a backup that is restored.
type selection struct {
	IDs      []int // of entries, in the archive's order; nil is every entry
	LeftOut  []string
	entries  map[int]pgarchive.Entry
	selected map[int]bool
}

// selectEntries selects the entries that restore the named objects: the objects
// themselves, the partitions of tables, the tables that inherit from them, what they depend on with its data, and what is
// part of them: indexes, constraints, defaults, triggers, rules, policies and grants. A
// foreign key to a table that is not selected is left out, and named. No names select
// everything.
func selectEntries(entries []pgarchive.Entry, only []Name) (selection, error) {
	if len(only) == 0 {
		return selection{}, nil
	}
	if entries == nil {
		return selection{}, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("select what to restore: %w: only a whole restore works", pgarchive.ErrVersion))
	}
	s := selection{entries: map[int]pgarchive.Entry{}, selected: map[int]bool{}}
	for _, e := range entries {
		s.entries[e.ID] = e
	}
	var missing []error
	for _, name := range only {
		found := false
		for _, e := range entries {
			if isObject(e) && name.matches(e.Schema, e.Name) {
				s.add(e.ID)
				found = true
			}
		}
		if !found {
			missing = append(missing, fmt.Errorf("select what to restore: nothing in the backup is named %s", name))
		}
	}
	if len(missing) > 0 {
		return s, backup.Fail(backupapi.CategoryUsage, errors.Join(missing...))
	}
	for grew := true; grew; {
		grew = false
		for _, e := range entries {
			if !s.selected[e.ID] && s.isPart(e) {
				s.add(e.ID)
				grew = true
			}
		}
	}
	if err := s.refuseHypertables(entries); err != nil {
		return s, err
	}
	for _, e := range entries {
		if s.selected[e.ID] {
			s.IDs = append(s.IDs, e.ID)
		} else if s.dependsOnSelected(e) && (e.Kind == "FK CONSTRAINT" || e.Kind == "PUBLICATION TABLE") {
			s.LeftOut = append(s.LeftOut, fmt.Sprintf("left out: %s %s, which needs an object that is not restored", e.Kind, pgarchive.SQLName(e.Schema, e.Name)))
		}
	}
	return s, nil
}

// isObject reports whether an entry is found by its name. Entries after the data, and
// those of comments and grants, have names of another form.
func isObject(e pgarchive.Entry) bool {
	return e.Section != pgarchive.SectionPostData && !slices.Contains([]string{"COMMENT", "ACL", "SECURITY LABEL", "TABLE ATTACH", "DEFAULT"}, e.Kind)
}

// add selects an entry and what it depends on.
func (s *selection) add(id int) {
	e, known := s.entries[id]
	if !known || s.selected[id] {
		return
	}
	s.selected[id] = true
	for _, dependency := range e.DependsOn {
		s.add(dependency)
	}
}

// isPart reports whether an entry is part of a selected object, so that the object is
// not whole without it.
func (s *selection) isPart(e pgarchive.Entry) bool {
	switch e.Kind {
	case "TABLE DATA", "MATERIALIZED VIEW DATA", "SEQUENCE SET", "COMMENT", "ACL", "SECURITY LABEL", "STATISTICS DATA":
		return s.dependsOnSelected(e)
	case "TABLE ATTACH": // a partition, which comes with its parent
		return s.anySelected(e, func(d pgarchive.Entry) bool { return isRelation(d) && (d.Schema != e.Schema || d.Name != e.Name) })
	case "TABLE":
		return s.anySelected(e, isRelation) && inherits(e)
	case "DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", "TRIGGER", "RULE", "POLICY", "ROW SECURITY":
		return s.anySelected(e, func(d pgarchive.Entry) bool {
			return (isRelation(d) || d.Kind == "DOMAIN") && d.Schema == e.Schema && (e.Name == d.Name || strings.HasPrefix(e.Name, d.Name+" "))
		})
	case "INDEX", "STATISTICS":
		return s.anySelected(e, isRelation)
	case "SEQUENCE": // of an identity column
		return strings.HasPrefix(strings.TrimSpace(e.Definition), "ALTER TABLE") && s.anySelected(e, isRelation)
	case "FK CONSTRAINT", "INDEX ATTACH", "SEQUENCE OWNED BY":
		return s.allSelected(e)
	}
	return false
}

// inherits reports whether a table inherits from another one. Text in a default that looks
// the same selects a table too many, and only one that depends on what is selected.
func inherits(e pgarchive.Entry) bool { return strings.Contains(e.Definition, "\nINHERITS (") }

// refuseHypertables refuses tables whose rows are in chunks. The chunks alone would be
// tables that TimescaleDB does not know, and the hypertable would accept no rows.
func (s *selection) refuseHypertables(entries []pgarchive.Entry) error {
	for _, e := range entries {
		if s.selected[e.ID] && e.Kind == "TABLE" && e.Schema == "_timescaledb_internal" {
			return backup.Fail(backupapi.CategoryUsage, fmt.Errorf("select what to restore: %s is a part of a hypertable of TimescaleDB, which only a whole restore brings back", pgarchive.SQLName(e.Schema, e.Name)))
		}
	}
	return nil
}

func isRelation(e pgarchive.Entry) bool {
	return slices.Contains([]string{"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"}, e.Kind)
}

func (s *selection) dependsOnSelected(e pgarchive.Entry) bool {
	return s.anySelected(e, func(pgarchive.Entry) bool { return true })
}

func (s *selection) anySelected(e pgarchive.Entry, is func(pgarchive.Entry) bool) bool {
	return slices.ContainsFunc(e.DependsOn, func(id int) bool { return s.selected[id] && is(s.entries[id]) })
}

// allSelected reports whether all relations and sequences that an entry depends on are
// selected.
func (s *selection) allSelected(e pgarchive.Entry) bool {
	needed := 0
	for _, id := range e.DependsOn {
		d, known := s.entries[id]
		if !known || d.Section == pgarchive.SectionPostData && e.Kind == "FK CONSTRAINT" {
			continue // of the system, or the unique index that the key needs
		}
		if !s.selected[id] {
			return false
		}
		needed++
	}
	return needed > 0
}

// includesData reports whether the rows of a table are restored.
func (s *selection) includesData(schema, table string) bool {
	if s.selected == nil {
		return true
	}
	for id := range s.selected {
		if e := s.entries[id]; e.Kind == "TABLE" && e.Schema == schema && e.Name == table {
			return true
		}
	}
	return false
}
