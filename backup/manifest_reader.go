package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/pgarchive"
	"github.com/nova/novawire/internal/units"
)

// Limits of what is read. A table takes about 100 bytes of a manifest.
const (
	MaxManifestBytes     = 256 << 20
	maxVerificationBytes = 4 << 20
	maxSummaryBytes      = 64 << 20
)

// errNoDump says that a manifest can be read and lists no dump.
var errNoDump = errors.New("it lists no base dump: nothing can be restored from it")

// ReadManifest reads the manifest of a backup and checks that it is one that a run
// wrote. ErrNotFound says that there is no such backup; the category verify, that
// the manifest cannot be used.
func ReadManifest(ctx context.Context, store Reader, database, id string) (Manifest, error) {
	var m Manifest
	err := scanManifest(ctx, store, database, id, &m, manifestVisitor{
		object: func(o StoredObject) {
			last := &m.Streams[len(m.Streams)-1]
			last.Objects = append(last.Objects, o)
		},
		table: func(name string, t pgarchive.Table) {
			if m.Content.Tables == nil {
				m.Content.Tables = map[string]pgarchive.Table{}
			}
			m.Content.Tables[name] = t
		},
		text: func(list *[]string, text string) { *list = append(*list, text) },
	})
	if err == nil && !m.hasDump() {
		err = Fail(backupapi.CategoryVerify, fmt.Errorf("read manifest %s of %s: %w", id, database, errNoDump))
	}
	return m, err
}

// hasDump reports whether there is a base dump, without which nothing is restored.
func (m Manifest) hasDump() bool {
	for _, s := range m.StreamsOf(StreamBase) {
		if len(s.Objects) > 0 {
			return true
		}
	}
	return false
}

// manifestVisitor is given the parts of a manifest whose number has no bound.
type manifestVisitor struct {
	object func(StoredObject) // of the stream that was read last
	table  func(name string, t pgarchive.Table)
	text   func(list *[]string, text string) // of warnings, anomalies and what is left out
}

// scanManifest reads a manifest in a stream and checks it. It fills in everything
// but the parts that it gives to the visitor.
func scanManifest(ctx context.Context, store Reader, database, id string, m *Manifest, visit manifestVisitor) error {
	what := fmt.Sprintf("read manifest %s of %s", id, database)
	err := scanJSON(ctx, store, Folder(database, id)+ManifestName, MaxManifestBytes, func(d jsonStream) error {
		return m.scan(d, visit)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	var refused error
	switch {
	case m.Format < 1 || m.Format > ManifestFormat:
		refused = fmt.Errorf("its format is %d, this version reads formats 1 to %d", m.Format, ManifestFormat)
	case m.ID != id || m.Database != database:
		refused = fmt.Errorf("it is the manifest of backup %q of database %q", m.ID, m.Database)
	case m.Facts.Estimate < 0 || m.Facts.Estimate > maxTotal || m.Content.LargeObjects.Rows < 0 || m.Content.Sequences.Rows < 0:
		refused = errors.New("its numbers are out of range")
	}
	if refused != nil {
		return Fail(backupapi.CategoryVerify, fmt.Errorf("%s: %w", what, refused))
	}
	return nil
}

func (m *Manifest) scan(d jsonStream, visit manifestVisitor) error {
	fields := map[string]any{
		"format": &m.Format, "id": &m.ID, "database": &m.Database, "program": &m.Program, "started": &m.Started, "committed": &m.Committed,
		"facts": &m.Facts, "encrypted": &m.Encrypted, "held": &m.Held, "evidence": &m.Evidence,
	}
	lists := map[string]*[]string{"warnings": &m.Warnings, "anomalies": &m.Anomalies, "withoutData": &m.WithoutData, "excludedDatabases": &m.ExcludedDatabases}
	totals := &checkedTotals{}
	return d.object(func(key string) error {
		switch into, known := fields[key]; {
		case known:
			return inField(key, d.value(into))
		case key == "streams":
			return inField(key, d.array(func() error { return m.scanStream(d, visit, totals) }))
		case key == "content":
			return inField(key, m.scanContent(d, visit, totals))
		case lists[key] != nil:
			return inField(key, d.array(func() error {
				var text string
				if err := d.value(&text); err != nil {
					return err
				}
				visit.text(lists[key], text)
				return totals.parts.count()
			}))
		}
		return d.skip() // restore, which is for people, and what newer versions add
	})
}

func (m *Manifest) scanStream(d jsonStream, visit manifestVisitor, totals *checkedTotals) error {
	if err := totals.parts.count(); err != nil {
		return err
	}
	m.Streams = append(m.Streams, Stream{})
	s := &m.Streams[len(m.Streams)-1]
	fields := map[string]any{"kind": &s.Kind, "schema": &s.Schema, "table": &s.Table, "bytes": &s.Bytes}
	err := d.object(func(key string) error {
		if into, known := fields[key]; known {
			return inField(key, d.value(into))
		}
		if key != "objects" {
			return d.skip()
		}
		return inField(key, d.array(func() error {
			var o StoredObject
			if err := d.value(&o); err != nil {
				return err
			}
			if o.Name == "" || strings.Contains(o.Name, "/") {
				return fmt.Errorf("%q is not the name of an object in the backup's folder", o.Name)
			}
			visit.object(o)
			return errors.Join(totals.stored.add(o.Size), totals.parts.count())
		}))
	})
	if err != nil {
		return err
	}
	return inField("bytes", totals.bytes.add(s.Bytes))
}

func (m *Manifest) scanContent(d jsonStream, visit manifestVisitor, totals *checkedTotals) error {
	c := &m.Content
	fields := map[string]any{"largeObjects": &c.LargeObjects, "sequences": &c.Sequences, "objects": &c.Objects, "unknown": &c.Unknown}
	return d.object(func(key string) error {
		if into, known := fields[key]; known {
			return inField(key, d.value(into))
		}
		if key != "tables" {
			return d.skip()
		}
		return inField(key, d.object(func(name string) error {
			var t pgarchive.Table
			if err := d.value(&t); err != nil {
				return err
			}
			visit.table(name, t)
			return errors.Join(totals.rows.add(t.Rows), totals.parts.count())
		}))
	})
}

func inField(key string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// checkedTotals add up what a manifest says, so that no sum of it overflows later.
type checkedTotals struct {
	bytes, stored, rows checkedTotal
	parts               partCount
}

type checkedTotal int64

// maxTotal leaves room for arithmetic on a total.
const maxTotal = math.MaxInt64 / 1024

func (t *checkedTotal) add(n int64) error {
	if n < 0 || n > maxTotal-int64(*t) {
		return fmt.Errorf("%d is out of range", n)
	}
	*t += checkedTotal(n)
	return nil
}

// partCount counts streams, objects, tables and texts. A part may take a few bytes in
// the file and many more in memory, so their number is bounded too.
type partCount int

const maxParts = 2_000_000

func (n *partCount) count() error {
	if *n++; *n > maxParts {
		return fmt.Errorf("%w: more than %d streams, objects and tables", errTooLarge, maxParts)
	}
	return nil
}

// scanJSON reads a JSON object of at most so many bytes in a stream. What is wrong
// with the object has the category verify; what is wrong with the store, its own.
func scanJSON(ctx context.Context, store Reader, key string, limit int64, read func(jsonStream) error) error {
	body, err := store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	limited := &limitedReader{from: body, left: limit}
	d := jsonStream{json.NewDecoder(limited)}
	if err = read(d); err == nil {
		err = d.end()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(limited.err, errTooLarge):
		return Fail(backupapi.CategoryVerify, fmt.Errorf("it has more than the %s that are read", units.Bytes(limit)))
	case limited.err != nil:
		return limited.err
	}
	return Fail(backupapi.CategoryVerify, err)
}

// equalContent reports whether an object holds these bytes. It reads in a stream.
func equalContent(r io.Reader, want []byte) (bool, error) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.Read(buffer)
		if n > len(want) || string(buffer[:n]) != string(want[:n]) {
			return false, nil
		}
		want = want[n:]
		if errors.Is(err, io.EOF) {
			return len(want) == 0, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// HoldsContent reports whether the store holds an object with exactly these bytes.
// ErrNotFound if there is no such object.
func HoldsContent(ctx context.Context, store Reader, key string, want []byte) (bool, error) {
	body, err := store.Open(ctx, key)
	if err != nil {
		return false, err
	}
	defer func() { _ = body.Close() }()
	return equalContent(body, want)
}
