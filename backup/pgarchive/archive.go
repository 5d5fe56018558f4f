// Package pgarchive reads the custom format of pg_dump as a stream: the header, the table
// of contents, and the data, of which it counts rows and computes a fingerprint for each
// table. It changes no byte of what it copies. [WithTableData] adds the rows of one table to
// an archive that has none.
//
// The format is that of pg_backup_archiver.c and pg_backup_custom.c, archive
// versions 1.12 (PostgreSQL 9.0) to 1.16 (PostgreSQL 17). Newer versions are copied
// without counting.
package pgarchive

import (
	"errors"
	"fmt"
	"io"
)

// ErrFormat reports that the bytes are not a whole archive: they have another format, end
// too early, or are damaged.
var ErrFormat = errors.New("not a whole pg_dump archive")

// ErrVersion reports that the archive's version or compression is not supported.
var ErrVersion = errors.New("unknown archive version")

// Table is the row count and the fingerprint of a table's data.
type Table struct {
	Rows int64 `json:"rows"`
	// Sum depends on every field of every row and on the columns' names, but
	// not on the order of rows or columns: a restore may change both.
	Sum Sum `json:"sum"`
}

// Tally is the content of an archive.
type Tally struct {
	Tables       map[string]Table `json:"tables,omitempty"` // by SQL name: schema.table, quoted where needed
	LargeObjects Table            `json:"largeObjects"`     // a row is an object
	Sequences    Table            `json:"sequences"`        // a row is the position of a sequence
	Objects      map[string]int   `json:"objects,omitempty"`
	// Unknown is the reason why nothing was counted; "" if everything was.
	Unknown string `json:"unknown,omitempty"`
}

// Add adds the content of another archive of the same backup.
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

// Rows returns the number of rows in all tables.
func (t Tally) Rows() (n int64) {
	for _, table := range t.Tables {
		n += table.Rows
	}
	return n
}

func (t Table) plus(other Table) Table {
	return Table{Rows: t.Rows + other.Rows, Sum: t.Sum + other.Sum}
}

// Copy copies an archive to dst and returns its length and content. An error of src or
// dst is returned unchanged. Bytes that are not a whole archive are [ErrFormat].
func Copy(dst io.Writer, src io.Reader) (int64, Tally, error) {
	s := newScanner(dst, src)
	tally, err := count(s)
	if errors.Is(err, ErrVersion) {
		tally, err = Tally{Unknown: err.Error()}, s.drain()
	}
	if s.failed != nil { // the cause, not what the parser made of it
		err = s.failed
	}
	return s.total, tally, err
}

// Head returns the header and the table of contents. They are an archive without data,
// from which pg_restore restores the sections pre-data and post-data.
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

// headBuffer keeps everything that is written to it.
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
