package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// oneObject is a reader of a store that answers every key with the same content.
type oneObject struct{ open func() io.Reader }

func (o oneObject) List(context.Context, string, func(Object) error) error { return nil }

func (o oneObject) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(o.open()), nil
}

func (o oneObject) Stat(context.Context, string) (Object, error) { return Object{}, nil }

func sample() Manifest {
	at := time.Date(2026, 11, 22, 1, 0, 0, 123e6, time.UTC)
	return Manifest{
		Format: 1, ID: NewID(at, 7), Database: "nova_auth", Program: "v1", Started: at, Committed: at.Add(time.Minute), Encrypted: true,
		Facts: Facts{Server: ServerFacts{Version: "17.1", Major: 17, Identifier: "7"}, Taken: at, Estimate: 99},
		Streams: []Stream{
			{Kind: StreamGlobals, Bytes: 1, Objects: []StoredObject{{"globals.00000", 1, "aa"}}},
			{Kind: StreamData, Schema: "s", Table: `a "b"`, Bytes: 2, Objects: []StoredObject{{"data-00.00000", 2, "bb"}, {"data-00.00001", 3, "cc"}}},
			{Kind: StreamBase, Bytes: 3, Objects: []StoredObject{{"base.00000", 4, "dd"}}},
		},
		Held:     Held{Seconds: 1.5, Transactions: 3, Limit: 200},
		Content:  pgarchive.Tally{Tables: map[string]pgarchive.Table{"a": {Rows: 5, Sum: 1 << 63}, "b": {}}, Sequences: pgarchive.Table{Rows: 1}, Objects: map[string]int{"TABLE": 2}},
		Warnings: []string{"w"}, Anomalies: []string{"x", "y"},
	}
}

func TestReadManifest(t *testing.T) {
	t.Run("returns what was encoded", func(t *testing.T) {
		want := sample()
		body, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadManifest(t.Context(), oneObject{func() io.Reader { return bytes.NewReader(body) }}, want.Database, want.ID)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("refuses a manifest that is cut anywhere", func(t *testing.T) {
		m := sample()
		body, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.TrimSpace(body)
		for n := range body {
			_, err := ReadManifest(t.Context(), oneObject{func() io.Reader { return bytes.NewReader(body[:n]) }}, m.Database, m.ID)
			if Category(t.Context(), err) != backupapi.CategoryVerify {
				t.Fatalf("%d of %d bytes: %v", n, len(body), err)
			}
		}
	})
	t.Run("refuses a manifest that is too large in clear words", func(t *testing.T) {
		head := `{"format":1,"id":"x","restore":["`
		endless := func() io.Reader {
			return io.MultiReader(strings.NewReader(head), &repeated{text: strings.Repeat("a", 1<<20) + `","`})
		}
		_, err := ReadManifest(t.Context(), oneObject{endless}, "db", "x")
		if Category(t.Context(), err) != backupapi.CategoryVerify || !strings.Contains(err.Error(), "more than the 256.0 MiB") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses more parts than fit into memory", func(t *testing.T) {
		for list, element := range map[string]string{`{"streams":[`: `{},`, `{"content":{"tables":{`: `"a":{},`} {
			many := func() io.Reader {
				return io.MultiReader(strings.NewReader(list), &repeated{text: strings.Repeat(element, 10_000)})
			}
			_, err := ReadManifest(t.Context(), oneObject{many}, "db", "x")
			if Category(t.Context(), err) != backupapi.CategoryVerify || !strings.Contains(err.Error(), "streams, objects and tables") {
				t.Errorf("%s: got %v", list, err)
			}
		}
	})
	t.Run("does not take an error of the store for damage", func(t *testing.T) {
		broken := errors.New("connection reset")
		cut := func() io.Reader {
			return io.MultiReader(strings.NewReader(`{"format":1,`), errorReader{broken})
		}
		_, err := ReadManifest(t.Context(), oneObject{cut}, "db", "x")
		if !errors.Is(err, broken) || Category(t.Context(), err) == backupapi.CategoryVerify {
			t.Errorf("got %v", err)
		}
	})
}

func TestManifest_Encode(t *testing.T) {
	m := sample()
	m.Content.Tables = map[string]pgarchive.Table{}
	for i := range maxTables + 1 {
		m.Content.Tables[fmt.Sprint("table ", i)] = pgarchive.Table{}
	}
	body, err := m.Encode()
	if err != nil || len(body) > 1<<20 || !strings.Contains(string(body), "too many") {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// repeated is an endless reader of the same text.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func FuzzReadManifest(f *testing.F) {
	m := sample()
	body, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := ReadManifest(t.Context(), oneObject{func() io.Reader { return bytes.NewReader(content) }}, m.Database, m.ID)
		if err == nil && (got.Bytes() < 0 || got.Stored() < 0 || got.Content.Rows() < 0 || !got.hasDump()) {
			t.Errorf("accepted %s", content)
		}
	})
}
