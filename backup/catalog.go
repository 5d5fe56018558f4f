package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Entry is a folder of the store that looks like a backup.
type Entry struct {
	Database        string
	ID              string
	Taken           time.Time // when its run began
	Committed       bool      // it has a manifest: it is a backup
	Held            bool
	HasVerification bool // a drill left a verify.json
	Stored          int64
	Newest          time.Time // when the last object was written
	Keys            []string
	Sizes           map[string]int64
}

func (e Entry) Folder() string { return Folder(e.Database, e.ID) }

// Catalog is what a store holds, each database's entries from the newest to the
// oldest.
type Catalog map[string][]Entry

// ReadCatalog lists a store once, of one database or, where it is "", of all.
// Objects that are not of a backup are not ours and are left out.
func ReadCatalog(ctx context.Context, store Reader, database string) (Catalog, error) {
	prefix := ""
	if database != "" {
		prefix = EscapeDatabase(database) + "/"
	}
	found := map[string]*Entry{}
	err := store.List(ctx, prefix, func(o Object) error {
		db, id, name, ok := SplitKey(o.Key)
		if !ok {
			return nil
		}
		e := found[Folder(db, id)]
		if e == nil {
			e = &Entry{Database: db, ID: id, Sizes: map[string]int64{}}
			e.Taken, _ = timeOfID(id)
			found[Folder(db, id)] = e
		}
		e.add(name, o)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	return group(found), nil
}

func (e *Entry) add(name string, o Object) {
	switch name {
	case ManifestName:
		e.Committed = true
	case HoldName:
		e.Held = true
	case VerificationName:
		e.HasVerification = true
	}
	e.Stored += o.Size
	e.Keys = append(e.Keys, o.Key)
	e.Sizes[o.Key] = o.Size
	if o.Modified.After(e.Newest) {
		e.Newest = o.Modified
	}
}

func group(found map[string]*Entry) Catalog {
	c := Catalog{}
	for _, e := range found {
		c[e.Database] = append(c[e.Database], *e)
	}
	for _, entries := range c {
		slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(b.ID, a.ID) })
	}
	return c
}

// Databases names them in order.
func (c Catalog) Databases() (names []string) {
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Committed returns a database's backups, the newest first.
func (c Catalog) Committed(database string) (backups []Entry) {
	for _, e := range c[database] {
		if e.Committed {
			backups = append(backups, e)
		}
	}
	return backups
}

// NewestVerified finds the newest backup of a database that a drill restored.
func NewestVerified(ctx context.Context, store Reader, backups []Entry) (Entry, bool, error) {
	for _, e := range backups {
		if !e.HasVerification {
			continue
		}
		v, err := ReadVerification(ctx, store, e.Database, e.ID)
		if err != nil && !errors.Is(err, ErrNotFound) && !isSyntax(err) {
			return Entry{}, false, err
		}
		if err == nil && v.Verified {
			return e, true, nil
		}
	}
	return Entry{}, false, nil
}

// isSyntax tells a verification that cannot be read from a store that cannot:
// only the first proves nothing about a backup.
func isSyntax(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind)
}
