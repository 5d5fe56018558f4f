package pgarchive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// WithTableData adds an entry for the rows of a table to the table of contents of an
// archive that has no data, and returns the new archive up to its first data block, with
// the beginning of the block. What follows are chunks ([PutChunkLength]) and [EndOfData].
func WithTableData(archive []byte, table Entry) ([]byte, error) {
	s := newScanner(io.Discard, bytes.NewReader(archive))
	if err := readHeader(s); err != nil {
		return nil, err
	}
	start := int(s.offset())
	entries, err := readEntries(s)
	if err != nil {
		return nil, err
	}
	if _, err := s.byte(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: data where none was expected", ErrFormat)
	}
	table.ID = 1
	for _, e := range entries {
		table.ID = max(table.ID, e.ID+1)
	}
	counted := appendInt(nil, len(entries)+1)
	out := slices.Concat(archive[:start], counted, archive[start+len(counted):])
	out = appendTableData(out, s, table)
	return appendInt(append(out, blockData), table.ID), nil
}

// appendTableData writes an entry as WriteToc of pg_backup_archiver.c does. Rows have no
// tablespace and no access method; nothing in the archive depends on them.
func appendTableData(out []byte, s *scanner, table Entry) []byte {
	out = appendInt(appendInt(out, table.ID), 1)
	out = appendText(appendText(out, "0"), "0") // the catalog's oid and the object's
	out = appendText(appendText(out, table.Name), "TABLE DATA")
	out = appendInt(out, SectionData)
	out = appendNull(appendNull(out)) // no definition, and nothing to drop
	out = appendText(appendText(out, table.CopyStatement), table.Schema)
	out = appendNull(out)
	if s.version >= 114 {
		out = appendNull(out)
	}
	if s.version >= 116 {
		out = appendInt(out, 0)
	}
	out = appendText(appendText(out, table.Owner), "false") // it has no oids
	out = appendNull(out)                                   // the end of its dependencies
	const positionNotSet = 1                                // K_OFFSET_POS_NOT_SET: the archive is a stream
	return append(append(out, positionNotSet), make([]byte, s.offsetSize)...)
}

// ChunkHeader is the length of what precedes a chunk, in bytes.
const ChunkHeader = 5

// PutChunkLength writes the length of a chunk into its header.
func PutChunkLength(header []byte, n int) { appendInt(header[:0], n) }

// EndOfData ends the rows of a table and their block. An archive with one block ends here
// too.
var EndOfData = appendInt(append(appendInt(nil, len(endOfRows)), endOfRows...), 0)

func appendInt(out []byte, v int) []byte {
	sign := byte(0)
	if v < 0 {
		sign, v = 1, -v
	}
	return append(out, sign, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

func appendText(out []byte, text string) []byte {
	return append(appendInt(out, len(text)), text...)
}

func appendNull(out []byte) []byte { return appendInt(out, -1) }
