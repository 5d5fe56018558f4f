package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/units"
)

// Condition says whether a backup can be counted on.
type Condition string

// The conditions. Only a good backup counts as a way back.
const (
	Good       Condition = ""           // nothing is known against it
	Unreadable Condition = "unreadable" // its manifest cannot be read, or belongs elsewhere
	Empty      Condition = "empty"      // its manifest lists no base dump
	Incomplete Condition = "incomplete" // an object of it is missing or has another size
	Damaged    Condition = "damaged"    // a verification or a drill found it damaged
	Unproven   Condition = "unproven"   // its verify.json cannot be read
	Misdated   Condition = "misdated"   // it claims to be from a time after it was written
	Unsigned   Condition = "unsigned"   // its manifest is not signed by a key that is trusted
)

// Record is what is known of one committed backup.
type Record struct {
	Entry        Entry
	Summary      Summary       // empty where the manifest cannot be read
	Verification *Verification // nil where no drill and no verification left one
	Condition    Condition
	Problem      string // explains the condition; empty where it is good

	verificationProblem string
	deleted             bool // after it was listed
}

// Good reports whether the backup counts as a way back.
func (r Record) Good() bool { return r.Condition == Good }

// Verified reports whether a drill restored the backup.
func (r Record) Verified() bool {
	return r.Good() && r.Verification != nil && r.Verification.Verified
}

// Readable reports whether the backup's manifest can be used, so that a verification
// or a drill can look at the rest.
func (r Record) Readable() bool {
	return r.Condition != Unreadable && r.Condition != Empty && r.Condition != Misdated && r.Condition != Unsigned
}

// Records are backups, each database's from the newest to the oldest.
type Records []Record

// Newest returns the first record that passes.
func (all Records) Newest(passes func(Record) bool) (Record, bool) {
	for _, r := range all {
		if passes(r) {
			return r, true
		}
	}
	return Record{}, false
}

// NotGood counts the records that do not count as a way back.
func (all Records) NotGood() (n int) {
	for _, r := range all {
		if !r.Good() {
			n++
		}
	}
	return n
}

// Inventory is the state of all backups of a store, or of one database.
type Inventory struct {
	Catalog  Catalog
	Backups  map[string]Records // by database
	outdated map[string]bool    // databases whose summary does not say what Backups says
}

// Databases returns the names of the databases that have backups, in order.
func (i Inventory) Databases() (names []string) {
	for _, name := range i.Catalog.Databases() {
		if len(i.Backups[name]) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// maxClockSkew is how far the clocks of a program and its store may differ.
const maxClockSkew = time.Hour

// Remove takes a backup that was deleted out of the inventory.
func (i Inventory) Remove(database, id string) {
	i.Backups[database] = slices.DeleteFunc(slices.Clone(i.Backups[database]), func(r Record) bool { return r.Entry.ID == id })
	i.outdated[database] = true
}

// maxConcurrentReads bounds the manifests that are read at the same time.
const maxConcurrentReads = 16

// largeManifest is the size above which manifests are read one after the other, to
// bound memory.
const largeManifest = 1 << 20

// ReadInventory reads the state of every backup of one database, or of all where it
// is "". It takes what it can from the database's summary and reads only manifests
// that the summary does not know. What is wrong with one backup is the Problem of its
// record; what is wrong with the store is an error.
func ReadInventory(ctx context.Context, store Reader, database string) (Inventory, error) {
	catalog, err := ReadCatalog(ctx, store, database)
	if err != nil {
		return Inventory{}, Fail(backupapi.CategoryStore, err)
	}
	inventory := Inventory{Catalog: catalog, Backups: map[string]Records{}, outdated: map[string]bool{}}
	r := recordReader{store: store}
	r.reading.SetLimit(maxConcurrentReads)
	for _, name := range catalog.Databases() {
		entries := catalog.Committed(name)
		if len(entries) == 0 {
			continue
		}
		var known summaries
		if catalog.summarized[name] {
			known = readSummaries(ctx, store, name)
		}
		records, outdated := r.readAll(ctx, entries, known)
		inventory.Backups[name] = records
		inventory.outdated[name] = outdated || len(known) != len(entries)
	}
	err = Fail(backupapi.CategoryStore, r.reading.Wait())
	for name, records := range inventory.Backups {
		inventory.Backups[name] = slices.DeleteFunc(records, func(r Record) bool { return r.deleted })
	}
	return inventory, err
}

// recordReader reads records at the same time.
type recordReader struct {
	store   Reader
	reading errgroup.Group
	large   sync.Mutex
}

func (r *recordReader) readAll(ctx context.Context, entries []Entry, known summaries) (records Records, outdated bool) {
	records = make(Records, len(entries))
	for i, e := range entries {
		records[i].Entry = e
		summary, found := known[e.ID]
		if found && summary.Folder == folderState(e) {
			records[i].apply(summary)
			continue
		}
		outdated = true
		r.reading.Go(func() error { return r.read(ctx, &records[i]) })
	}
	return records, outdated
}

// read reads the manifest and the verification of one backup.
func (r *recordReader) read(ctx context.Context, record *Record) error {
	e := record.Entry
	if e.Objects[ManifestName].Size > largeManifest {
		r.large.Lock()
		defer r.large.Unlock()
	}
	var known backupSummary
	var err error
	known.Summary, err = readSummary(ctx, r.store, e)
	switch {
	case errors.Is(err, ErrNotFound):
		record.deleted = true
		return nil
	case errors.Is(err, ErrUnsigned):
		record.Condition, record.Problem = Unsigned, err.Error()
		return nil
	case errors.Is(err, errNoDump):
		record.Condition, record.Problem = Empty, errNoDump.Error()
		return nil
	case Category(ctx, err) == backupapi.CategoryVerify:
		record.Condition, record.Problem = Unreadable, err.Error()
		return nil
	case err != nil:
		return err
	}
	if _, there := e.Objects[VerificationName]; there {
		v, err := ReadVerification(ctx, r.store, e.Database, e.ID)
		switch {
		case err == nil, errors.Is(err, ErrUnsigned) && !v.Verified: // bad news counts, whoever wrote it
			known.Verification = &v
		case errors.Is(err, ErrUnsigned): // anyone could have written it
		case errors.Is(err, ErrNotFound):
		case Category(ctx, err) == backupapi.CategoryVerify:
			known.VerificationProblem = err.Error()
		default:
			return err
		}
	}
	record.apply(known)
	return nil
}

// apply fills in the record from what its manifest and verification say.
func (r *Record) apply(known backupSummary) {
	r.Summary, r.Verification, r.verificationProblem = known.Summary, known.Verification, known.VerificationProblem
	switch misdated := r.misdated(); {
	case misdated != "":
		r.Condition, r.Problem = Misdated, misdated
	case known.Summary.Missing != "":
		r.Condition, r.Problem = Incomplete, known.Summary.Missing
	case known.VerificationProblem != "":
		r.Condition, r.Problem = Unproven, VerificationName+" cannot be read: "+known.VerificationProblem
	case known.Verification != nil && !known.Verification.Verified:
		r.Condition, r.Problem = Damaged, Summarize(known.Verification.Differences)
		if r.Problem == "" {
			r.Problem = "a verification found it damaged"
		}
	}
}

// misdated explains why the backup's own time cannot be true: the store wrote the
// manifest long before it.
func (r *Record) misdated() string {
	written := r.Entry.Objects[ManifestName].Modified
	if written.IsZero() || r.Entry.Taken.Sub(written) <= maxClockSkew {
		return ""
	}
	return fmt.Sprintf("clock skew: it claims to be from %s, and the store wrote it at %s, %s earlier",
		r.Entry.Taken.UTC().Format(time.RFC3339), written.UTC().Format(time.RFC3339), units.Age(r.Entry.Taken.Sub(written)))
}
