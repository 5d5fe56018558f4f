package pgarchive

import (
	"errors"
	"fmt"
	"io"
)

// Kinds of data blocks.
const (
	blockData = 1
	blockBlob = 3
)

// readBlock counts one data block. It returns false at the end of the archive.
func readBlock(s *scanner, entries map[int]*Entry, tally *Tally) (bool, error) {
	kind, err := s.byte()
	if errors.Is(err, io.EOF) && s.failed == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id, err := s.int()
	if err != nil {
		return false, err
	}
	entry, known := entries[id]
	switch {
	case kind == blockData && known && entry.Kind == "TABLE DATA":
		rows := newRows(copyColumns(entry.CopyStatement))
		if err := readChunks(s, rows); err != nil {
			return false, fmt.Errorf("data of %s: %w", entry.SQLName(), err)
		}
		tally.Tables[entry.Counts()] = tally.Tables[entry.Counts()].plus(rows.table)
	case kind == blockData && known:
		return true, readChunks(s, io.Discard)
	case kind == blockBlob && known:
		return true, readLargeObjects(s, tally)
	default:
		return false, fmt.Errorf("%w: block of kind %d for entry %d", ErrFormat, kind, id)
	}
	return true, nil
}

// readChunks writes the chunks of one block to a hash. A chunk of length zero ends the
// block.
func readChunks(s *scanner, to io.Writer) error {
	for {
		n, err := s.int()
		if err != nil || n == 0 {
			return err
		}
		if n < 0 {
			return fmt.Errorf("%w: a chunk of %d bytes", ErrFormat, n)
		}
		for n > 0 {
			p, err := s.next(n)
			if err != nil {
				return err
			}
			n -= len(p)
			_, _ = to.Write(p) // a hash returns no error
		}
	}
}

// readLargeObjects counts large objects: each is an oid and chunks. The oid zero ends them.
func readLargeObjects(s *scanner, tally *Tally) error {
	for {
		oid, err := s.int()
		if err != nil || oid == 0 {
			return err
		}
		var h hash
		if err := readChunks(s, &h); err != nil {
			return fmt.Errorf("large object %d: %w", oid, err)
		}
		tally.LargeObjects = tally.LargeObjects.plus(Table{Rows: 1, Sum: Sum(mix(h.sum(), uint64(oid)))})
	}
}
