package backup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Entry is a folder of the store that looks like a backup.
type Entry struct {
	Database  string
	ID        string
	Taken     time.Time // when its run began
	Committed bool      // it has a manifest: it is a backup
	Held      bool
	Newest    time.Time         // when the last object was written, by the store's clock
	Objects   map[string]Object // by their name in the folder
}

// Folder returns the prefix of the entry's objects.
func (e Entry) Folder() string { return Folder(e.Database, e.ID) }

// Keys returns the keys of all objects, in order.
func (e Entry) Keys() (keys []string) {
	for _, o := range e.Objects {
		keys = append(keys, o.Key)
	}
	slices.Sort(keys)
	return keys
}

// Catalog is what a listing of the store shows: the entries of each database, from
// the newest to the oldest.
type Catalog struct {
	Entries map[string][]Entry
	// summarized names the databases that have a summary.
	summarized map[string]bool
}

// ReadCatalog lists the store once, for one database or, where it is "", for all.
// It leaves out objects that do not belong to a backup.
func ReadCatalog(ctx context.Context, store Reader, database string) (Catalog, error) {
	prefix := ""
	if database != "" {
		prefix = EscapeDatabase(database) + "/"
	}
	found := map[string]*Entry{}
	catalog := Catalog{Entries: map[string][]Entry{}, summarized: map[string]bool{}}
	err := store.List(ctx, prefix, func(o Object) error {
		if db, ok := splitSummaryKey(o.Key); ok {
			catalog.summarized[db] = true
			return nil
		}
		db, id, name, ok := SplitKey(o.Key)
		if !ok {
			return nil
		}
		e := found[Folder(db, id)]
		if e == nil {
			e = &Entry{Database: db, ID: id, Objects: map[string]Object{}}
			e.Taken, _ = TimeOfID(id)
			found[Folder(db, id)] = e
		}
		e.add(name, o)
		return nil
	})
	if err != nil {
		return catalog, fmt.Errorf("list backups: %w", err)
	}
	for _, e := range found {
		catalog.Entries[e.Database] = append(catalog.Entries[e.Database], *e)
	}
	for _, entries := range catalog.Entries {
		slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(b.ID, a.ID) })
	}
	return catalog, nil
}

func (e *Entry) add(name string, o Object) {
	switch name {
	case ManifestName:
		e.Committed = true
	case HoldName:
		e.Held = true
	}
	e.Objects[name] = o
	if o.Modified.After(e.Newest) {
		e.Newest = o.Modified
	}
}

// Databases returns the names of all databases, in order.
func (c Catalog) Databases() (names []string) {
	for name := range c.Entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Committed returns a database's backups, the newest first.
func (c Catalog) Committed(database string) (backups []Entry) {
	for _, e := range c.Entries[database] {
		if e.Committed {
			backups = append(backups, e)
		}
	}
	return backups
}
