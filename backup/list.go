package backup

import (
	"context"
	"errors"
	"fmt"
	"sync"

	backupapi "github.com/nova/novawire/api/backup"
)

// Listed is a backup as a person wants to see it.
type Listed struct {
	Entry        Entry
	Manifest     Manifest
	Verification *Verification // nil: no drill yet
	Problem      string        // why it is no way back; empty if nothing is known
}

// maxConcurrentReads is how many are read beside each other: a bucket may hold
// thousands.
const maxConcurrentReads = 16

// List reads every backup of one database, or of all where it is "". A manifest
// that cannot be read is listed with its problem.
func List(ctx context.Context, store Reader, database string) ([]Listed, error) {
	catalog, err := ReadCatalog(ctx, store, database)
	if err != nil {
		return nil, Fail(backupapi.CategoryStore, err)
	}
	var all []Listed
	for _, name := range catalog.Databases() {
		for _, e := range catalog.Committed(name) {
			all = append(all, Listed{Entry: e})
		}
	}
	var reading sync.WaitGroup
	slots := make(chan struct{}, maxConcurrentReads)
	errs := make([]error, len(all))
	for i := range all {
		slots <- struct{}{}
		reading.Go(func() {
			defer func() { <-slots }()
			errs[i] = all[i].read(ctx, store)
		})
	}
	reading.Wait()
	return all, errors.Join(errs...)
}

// read fills in a backup. What is wrong with the backup is its problem; what is
// wrong with the store is an error.
func (l *Listed) read(ctx context.Context, store Reader) (err error) {
	l.Manifest, err = ReadManifest(ctx, store, l.Entry.Database, l.Entry.ID)
	switch {
	case errors.Is(err, ErrNotFound): // deleted since it was listed
		l.Problem = "deleted"
		return nil
	case Category(ctx, err) == backupapi.CategoryVerify:
		l.Problem = err.Error()
		return nil
	case err != nil:
		return Fail(backupapi.CategoryStore, err)
	}
	l.Problem = l.missing()
	if !l.Entry.HasVerification {
		return nil
	}
	v, err := ReadVerification(ctx, store, l.Entry.Database, l.Entry.ID)
	if err != nil {
		l.Problem = "its verification cannot be read: " + err.Error()
		return nil //nolint:nilerr // a problem of this backup, not of the listing
	}
	l.Verification = &v
	if !v.Verified && l.Problem == "" {
		l.Problem = Summarize(v.Differences)
	}
	return nil
}

// missing compares the manifest with what the listing saw, which costs nothing.
func (l *Listed) missing() string {
	for _, s := range l.Manifest.Streams {
		for _, o := range s.Objects {
			size, there := l.Entry.Sizes[l.Entry.Folder()+o.Name]
			if !there {
				return o.Name + " is missing"
			}
			if size != o.Size {
				return fmt.Sprintf("%s has %d bytes instead of %d", o.Name, size, o.Size)
			}
		}
	}
	return ""
}
