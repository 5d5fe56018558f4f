// Package pgarchive reads the custom format of pg_dump as a stream: the header, the table
// of contents, and the data, of which it counts rows and computes a fingerprint for each
// table. It changes no byte and writes no archive.
//
// The format is that of pg_backup_archiver.c and pg_backup_custom.c, archive
// versions 1.12 (PostgreSQL 9.0) to 1.16 (PostgreSQL 17). It copies
// newer versions without counting.
package pgarchive

import (
	"errors"
	"fmt"
	"io"
)

// ErrFormat says that the bytes are no whole archive: another format, or cut
// short, or damaged.
var ErrFormat = errors.New("not a whole pg_dump archive")

// ErrVersion says that the archive's version, or its compression, is not known here.
var ErrVersion = errors.New("unknown archive version")

// Table is what a table's data came to.
type Table struct {
	Rows int64 `json:"rows"`
	// Sum depends on every field of every row and on the columns' names, but
	// not on the order of rows or columns: a restore may change both.
	Sum Sum `json:"sum"`
}

// Tally is what an archive holds.
type Tally struct {
	Tables       map[string]Table `json:"tables,omitempty"` // by SQL name: schema.table, quoted where needed
	LargeObjects Table            `json:"largeObjects"`     // a row is one object
	Sequences    Table            `json:"sequences"`        // a row is one position that is set
	Objects      map[string]int   `json:"objects,omitempty"`
	// Unknown says why nothing was counted; empty if all was.
	Unknown string `json:"unknown,omitempty"`
}

// Add puts another archive's content to this one's: the streams of one backup.
func (t *Tally) Add(other Tally) {
	if t.Tables == nil {
		t.Tables, t.Objects = map[string]Table{}, map[string]int{}
	}
	for name, table := range other.Tables {
		t.Tables[name] = t.Tables[name].plus(table)
	}
	for kind, n := range other.Objects {
		t.Objects[kind] += n
	}
	t.LargeObjects = t.LargeObjects.plus(other.LargeObjects)
	t.Sequences = t.Sequences.plus(other.Sequences)
	if t.Unknown == "" {
		t.Unknown = other.Unknown
	}
}

// Rows is the number of rows in all tables.
func (t Tally) Rows() (n int64) {
	for _, table := range t.Tables {
		n += table.Rows
	}
	return n
}

func (t Table) plus(other Table) Table {
	return Table{Rows: t.Rows + other.Rows, Sum: t.Sum + other.Sum}
}

// Copy copies an archive to dst and says how long it is and what it holds. An
// error of src or dst is returned as it is; an archive that ends too early, or
// is no archive, is [ErrFormat].
func Copy(dst io.Writer, src io.Reader) (int64, Tally, error) {
	s := newScanner(dst, src)
	tally, err := count(s)
	if errors.Is(err, ErrVersion) {
		tally, err = Tally{Unknown: err.Error()}, s.drain()
	}
	if s.failed != nil { // what a parser makes of a broken stream is beside the point
		err = s.failed
	}
	return s.total, tally, err
}

// Head returns the header and the table of contents: an archive without data,
// which pg_restore takes for the sections before and after it.
func Head(src io.Reader) ([]byte, []Entry, error) {
	var kept headBuffer
	s := newScanner(&kept, src)
	entries, err := readHead(s)
	if s.failed != nil {
		err = s.failed
	}
	if err != nil {
		return nil, nil, err
	}
	return kept[:len(kept)-(s.end-s.at)], entries, nil
}

// headBuffer is a buffer of what was written.
type headBuffer []byte

func (k *headBuffer) Write(p []byte) (int, error) {
	*k = append(*k, p...)
	return len(p), nil
}

func count(s *scanner) (Tally, error) {
	entries, err := readHead(s)
	if err != nil {
		return Tally{}, err
	}
	tally := Tally{Tables: map[string]Table{}, Objects: map[string]int{}}
	byID, expected := map[int]*Entry{}, 0
	for i := range entries {
		e := &entries[i]
		byID[e.ID] = e
		if e.HasData {
			expected++
		}
		tally.Objects[e.Kind]++
		if e.Kind == "SEQUENCE SET" {
			tally.Sequences = tally.Sequences.plus(Table{Rows: 1, Sum: textSum(e.Definition)})
		}
	}
	seen := 0
	for ; ; seen++ {
		more, err := readBlock(s, byID, &tally)
		if err != nil {
			return tally, err
		}
		if !more {
			break
		}
	}
	if seen != expected {
		return tally, fmt.Errorf("%w: %d of %d data blocks", ErrFormat, seen, expected)
	}
	return tally, nil
}
