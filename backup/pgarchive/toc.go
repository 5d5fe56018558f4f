package pgarchive

import (
	"fmt"
	"strings"
)

// Entry is a line of the table of contents.
type Entry struct {
	ID        int
	HasData   bool
	Kind      string // TABLE, INDEX, TABLE DATA, …
	Schema    string
	Name      string
	Section   int // one of the Section constants
	DependsOn []int
	Owner     string // the role; "" if nobody owns it
	// Tablespace is where it is stored; "" is the database's default.
	Tablespace string
	// Definition is the SQL that makes it.
	Definition string
	// CopyStatement is the COPY … FROM stdin that its rows are for; "" if it has none.
	CopyStatement string
}

// Sections of an archive, as it numbers them.
const (
	SectionNone     = 1
	SectionPreData  = 2
	SectionData     = 3
	SectionPostData = 4
)

// SQLName is the entry's name as SQL writes it.
func (e Entry) SQLName() string { return SQLName(e.Schema, e.Name) }

// throughRoot begins the definition of rows that go through the root of their
// partitions (dumpTableData of pg_dump.c, PostgreSQL 16 and later): those whose
// hash is another in each database.
const throughRoot = "-- load via partition root "

// Counts is the table that the entry's rows count for, as SQL writes its name:
// the root, where they go through it, for once restored they may be another
// partition's.
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
	var magic [11]byte
	for i := range magic {
		b, err := s.byte()
		if err != nil {
			return nil, formatError(err)
		}
		magic[i] = b
	}
	if string(magic[:5]) != "PGDMP" || magic[10] != formatByte {
		return nil, fmt.Errorf("%w: no custom format header", ErrFormat)
	}
	s.version = int(magic[5])*100 + int(magic[6])
	s.intSize, s.offsetSize = int(magic[8]), int(magic[9])
	if s.version < oldestVersion || s.version > newestVersion || s.intSize != 4 || s.offsetSize > 8 {
		return nil, fmt.Errorf("%w: %d.%d", ErrVersion, magic[5], magic[6])
	}
	if err := readProperties(s); err != nil {
		return nil, err
	}
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
	for range 7 { // when the dump began, as struct tm
		if _, err := s.int(); err != nil {
			return err
		}
	}
	for range 3 { // the database, the server's version, pg_dump's
		if _, _, err := s.text(); err != nil {
			return err
		}
	}
	if compression != 0 {
		return fmt.Errorf("%w: compressed by pg_dump", ErrVersion)
	}
	return nil
}

// readCompression: since 1.15 an algorithm in a byte, before it a level.
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
	text(&unused) // catalog's oid
	text(&unused) // object's oid
	text(&e.Name)
	text(&e.Kind)
	number(&e.Section)
	text(&e.Definition)
	text(&unused) // how to drop it
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
	for range 1 + s.offsetSize { // where the data is: unknown in a stream
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
