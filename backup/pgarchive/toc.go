package pgarchive

import (
	"fmt"
	"strings"
)

// Entry is an entry of the table of contents.
type Entry struct {
	ID        int
	HasData   bool
	Kind      string // TABLE, INDEX, TABLE DATA, …
	Schema    string
	Name      string
	Section   int // one of the Section constants
	DependsOn []int
	Owner     string // a role, or ""
	// Tablespace is "" for the database's default.
	Tablespace string
	// Definition is the SQL that creates the object.
	Definition string
	// CopyStatement is the COPY … FROM stdin that loads the rows, or "".
	CopyStatement string
}

// Sections of an archive, by their numbers in the archive.
const (
	SectionNone     = 1
	SectionPreData  = 2
	SectionData     = 3
	SectionPostData = 4
)

// SQLName returns the entry's name as SQL writes it.
func (e Entry) SQLName() string { return SQLName(e.Schema, e.Name) }

// throughRoot begins the definition of data that is loaded through the root of the
// partitions, because the hash of a row differs between databases (dumpTableData of
// pg_dump.c, PostgreSQL 16 and later).
const throughRoot = "-- load via partition root "

// Counts returns the SQL name of the table to which the entry's rows are counted. That is
// the root if they are loaded through it: a restore may put them into other partitions.
func (e Entry) Counts() string {
	if root, through := strings.CutPrefix(e.Definition, throughRoot); through {
		return validUTF8(strings.TrimSpace(root))
	}
	return e.SQLName()
}

const (
	oldestVersion = 112
	newestVersion = 116
	formatByte    = 1 // custom
)

func readHead(s *scanner) ([]Entry, error) {
	if err := readHeader(s); err != nil {
		return nil, err
	}
	return readEntries(s)
}

// readHeader reads everything that precedes the table of contents.
func readHeader(s *scanner) error {
	var magic [11]byte
	for i := range magic {
		b, err := s.byte()
		if err != nil {
			return formatError(err)
		}
		magic[i] = b
	}
	if string(magic[:5]) != "PGDMP" || magic[10] != formatByte {
		return fmt.Errorf("%w: no custom format header", ErrFormat)
	}
	s.version = int(magic[5])*100 + int(magic[6])
	s.intSize, s.offsetSize = int(magic[8]), int(magic[9])
	if s.version < oldestVersion || s.version > newestVersion || s.intSize != 4 || s.offsetSize > 8 {
		return fmt.Errorf("%w: %d.%d", ErrVersion, magic[5], magic[6])
	}
	return readProperties(s)
}

func readEntries(s *scanner) ([]Entry, error) {
	n, err := s.int()
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for range n {
		e, err := readEntry(s)
		if err != nil {
			return nil, fmt.Errorf("entry %d of %d: %w", len(entries)+1, n, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func readProperties(s *scanner) error {
	compression, err := readCompression(s)
	if err != nil {
		return err
	}
	for range 7 { // the time of the dump, as struct tm
		if _, err := s.int(); err != nil {
			return err
		}
	}
	for range 3 { // the database, and the versions of the server and of pg_dump
		if _, _, err := s.text(); err != nil {
			return err
		}
	}
	if compression != 0 {
		return fmt.Errorf("%w: compressed by pg_dump", ErrVersion)
	}
	return nil
}

// readCompression returns 0 if the data is not compressed. Since version 1.15 the archive
// has the algorithm, in a byte, and before that the level.
func readCompression(s *scanner) (int, error) {
	if s.version < 115 {
		return s.int()
	}
	b, err := s.byte()
	return int(b), formatError(err)
}

// readEntry follows ReadToc of pg_backup_archiver.c.
func readEntry(s *scanner) (e Entry, err error) {
	number := func(into *int) {
		if err == nil {
			*into, err = s.int()
		}
	}
	text := func(into *string) {
		if err == nil {
			*into, _, err = s.text()
		}
	}
	var hadDumper, ignored int
	var unused string
	number(&e.ID)
	number(&hadDumper)
	text(&unused) // the catalog's oid
	text(&unused) // the object's oid
	text(&e.Name)
	text(&e.Kind)
	number(&e.Section)
	text(&e.Definition)
	text(&unused) // the statement that drops the object
	text(&e.CopyStatement)
	text(&e.Schema)
	text(&e.Tablespace)
	if s.version >= 114 {
		text(&unused) // access method
	}
	if s.version >= 116 {
		number(&ignored) // relkind
	}
	text(&e.Owner)
	text(&unused) // with oids
	if err != nil {
		return e, err
	}
	e.HasData = hadDumper != 0
	if e.DependsOn, err = readDependencies(s); err != nil {
		return e, err
	}
	for range 1 + s.offsetSize { // the position of the data, which is not known in a stream
		if _, err := s.byte(); err != nil {
			return e, formatError(err)
		}
	}
	return e, nil
}

func readDependencies(s *scanner) (ids []int, err error) {
	for {
		text, more, err := s.text()
		if err != nil || !more {
			return ids, err
		}
		var id int
		if _, err := fmt.Sscan(text, &id); err != nil {
			return ids, fmt.Errorf("%w: dependency %q", ErrFormat, text)
		}
		ids = append(ids, id)
	}
}
