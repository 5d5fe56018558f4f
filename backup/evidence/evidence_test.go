package evidence

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
	"github.com/nova/novawire/backup/signature"
	"github.com/nova/novawire/internal/testing/sshkeys"
)

// memory is a store in memory, as far as evidence needs one.
type memory struct {
	backup.Store

	mu      sync.Mutex
	objects map[string]string
}

func (m *memory) List(_ context.Context, prefix string, each func(backup.Object) error) error {
	m.mu.Lock()
	objects := maps.Clone(m.objects)
	m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if strings.HasPrefix(key, prefix) {
			if err := each(backup.Object{Key: key, Size: int64(len(objects[key]))}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) Open(_ context.Context, key string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, there := m.objects[key]
	if !there {
		return nil, backup.ErrNotFound
	}
	return io.NopCloser(strings.NewReader(content)), nil
}

func (m *memory) PutNew(_ context.Context, key string, body []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.objects[key]; there {
		return backup.ErrExists
	}
	m.objects[key] = string(body)
	return nil
}

func newKey(t *testing.T) (signature.Key, string) {
	t.Helper()
	private, public := sshkeys.New(t)
	key, err := signature.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// drill returns the record of a drill of a database.
func drill(t *testing.T, database string, n int) Record {
	t.Helper()
	m := backup.Manifest{ID: backup.NewID(noon.AddDate(0, 0, n), 1), Database: database, Facts: backup.Facts{Server: backup.ServerFacts{Version: "17.6"}}}
	content := pgarchive.Tally{Tables: map[string]pgarchive.Table{"public.a": {Rows: int64(n)}}}
	r, err := New(m, backup.Verification{Verified: true, ID: m.ID, Database: database, Started: noon, Tables: 1, Rows: int64(n), Server: "17.6"}, content)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// chain returns a store with the records of so many drills.
func chain(t *testing.T, key signature.Key, database string, drills int) *memory {
	t.Helper()
	store := &memory{objects: map[string]string{}}
	for n := range drills {
		if _, err := Append(t.Context(), store, key, drill(t, database, n+1)); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

// putManifest adds a backup whose signed manifest names a record.
func putManifest(t *testing.T, store *memory, key signature.Key, database string, day int, head *backup.EvidenceHead) {
	t.Helper()
	m := backup.Manifest{
		Format: backup.ManifestFormat, ID: backup.NewID(noon.AddDate(0, 0, day), 1), Database: database, Evidence: head,
		Streams: []backup.Stream{{Kind: backup.StreamBase, Objects: []backup.StoredObject{{Name: "base", Size: 1}}}},
	}
	body, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	store.objects[m.Folder()+backup.ManifestName] = string(body)
	store.objects[m.Folder()+backup.ManifestName+signature.Suffix] = string(key.Sign(signature.Manifest, body))
}

func place(n int64) string { return Folder("db") + nameOf(n) }

func TestVerify(t *testing.T) {
	key, public := newKey(t)
	stranger, _ := newKey(t)
	keys, err := signature.ParseKeys([]byte(public))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, now string) func(*memory) {
		return func(m *memory) { m.objects[place(3)] = strings.Replace(m.objects[place(3)], old, now, 1) }
	}
	head := func(m *memory, n int64) *backup.EvidenceHead {
		return &backup.EvidenceHead{Sequence: n, SHA256: hashOf([]byte(m.objects[place(n)]))}
	}
	cases := map[string]struct {
		tamper func(*memory)
		want   []string // kind and name of each problem
	}{
		"an unchanged chain has no problem":              {func(*memory) {}, nil},
		"a changed number of rows is found":              {edit(`\"rows\":3`, `\"rows\":4`), []string{"changed 00000003.json", "changed 00000004.json"}},
		"a changed blank outside of the record is found": {edit("\n", " \n"), []string{"changed 00000004.json"}},
		"a changed signature is found": {func(m *memory) {
			m.objects[place(3)] = strings.Replace(m.objects[place(3)], "BEGIN SSH", "BEGIN TLS", 1)
		}, []string{"changed 00000003.json", "changed 00000004.json"}},
		"a missing record is found":      {func(m *memory) { delete(m.objects, place(3)) }, []string{"missing 00000003.json"}},
		"several missing ones are found": {func(m *memory) { delete(m.objects, place(2)); delete(m.objects, place(3)) }, []string{"missing 00000002.json"}},
		"a missing beginning is found":   {func(m *memory) { delete(m.objects, place(1)) }, []string{"missing 00000001.json"}},
		"records that were swapped are found": {func(m *memory) {
			m.objects[place(2)], m.objects[place(3)] = m.objects[place(3)], m.objects[place(2)]
		}, []string{"reordered 00000002.json", "reordered 00000003.json", "changed 00000004.json"}},
		"records that moved up after one was removed are found": {func(m *memory) {
			m.objects[place(2)], m.objects[place(3)] = m.objects[place(3)], m.objects[place(4)]
			delete(m.objects, place(4))
		}, []string{"reordered 00000002.json", "reordered 00000003.json", "missing 00000004.json"}},
		"a copy of a record in another place is found": {func(m *memory) { m.objects[place(6)] = m.objects[place(5)] }, []string{"reordered 00000006.json"}},
		"a record of another database is found": {func(m *memory) {
			m.objects[place(6)] = chain(t, key, "other", 1).objects[Folder("other")+nameOf(1)]
		}, []string{"foreign 00000006.json"}},
		"a record of another chain of the same database is found": {func(m *memory) {
			m.objects[place(3)] = otherChain(t, key).objects[place(3)]
		}, []string{"changed 00000003.json", "changed 00000004.json"}},
		"a record that a stranger signed is found": {func(m *memory) {
			if _, err := Append(t.Context(), m, stranger, drill(t, "db", 6)); err != nil {
				t.Fatal(err)
			}
		}, []string{"foreign 00000006.json"}},
		"an object with another name is found": {func(m *memory) { m.objects[Folder("db")+"6.json"] = "{}" }, []string{"foreign 6.json"}},
		"an object that is no record is found": {func(m *memory) { m.objects[place(6)] = "{}" }, []string{"changed 00000006.json"}},
		"a record that is followed by another is found": {func(m *memory) {
			m.objects[place(5)] += m.objects[place(4)]
		}, []string{"changed 00000005.json"}},
		"a missing end that a signed manifest names is found": {func(m *memory) {
			putManifest(t, m, key, "db", 10, head(m, 5))
			delete(m.objects, place(5))
			delete(m.objects, place(4))
		}, []string{"missing 00000004.json"}},
		"a chain that was removed whole is found": {func(m *memory) {
			putManifest(t, m, key, "db", 10, head(m, 5))
			maps.DeleteFunc(m.objects, func(key, _ string) bool { return strings.HasPrefix(key, Folder("db")) })
		}, []string{"missing 00000001.json"}},
		"a chain that was replaced is found": {func(m *memory) {
			putManifest(t, m, key, "db", 10, head(m, 5))
			maps.Copy(m.objects, otherChain(t, key).objects)
		}, []string{"changed 00000005.json"}},
		"an unsigned manifest vouches for nothing": {func(m *memory) {
			putManifest(t, m, stranger, "db", 10, &backup.EvidenceHead{Sequence: 9, SHA256: "x"})
		}, nil},
		"manifests that name what is there are no problem": {func(m *memory) {
			putManifest(t, m, key, "db", 9, head(m, 4))
			putManifest(t, m, key, "db", 10, head(m, 5))
		}, nil},
		// What cannot be found: docs/backup.md says so.
		"a missing end that no manifest names is not found": {func(m *memory) { delete(m.objects, place(5)) }, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			store := chain(t, key, "db", 5)
			c.tamper(store)
			got, err := Verify(t.Context(), store, keys, "db")
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, p := range got.Problems {
				found = append(found, p.Kind+" "+p.Name)
			}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Errorf("problems (-want +got):\n%s%+v", diff, got.Problems)
			}
		})
	}
}

// otherChain is of the same database and key, for example of another prefix.
func otherChain(t *testing.T, key signature.Key) *memory {
	t.Helper()
	store := &memory{objects: map[string]string{}}
	for n := range 5 {
		if _, err := Append(t.Context(), store, key, drill(t, "db", n+100)); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func TestAppend(t *testing.T) {
	key, public := newKey(t)
	keys, err := signature.ParseKeys([]byte(public))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("drills that end at the same time form one chain", func(t *testing.T) {
		store := &memory{objects: map[string]string{}}
		var all sync.WaitGroup
		for n := range 5 {
			all.Go(func() {
				if _, err := Append(t.Context(), store, key, drill(t, "db", n)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		c, err := Verify(t.Context(), store, keys, "db")
		if err != nil || len(c.Entries) != 5 || len(c.Problems) > 0 || c.Verified() != 5 {
			t.Errorf("%v: %+v", err, c)
		}
	})
	t.Run("after a rotation the chain continues with the new key", func(t *testing.T) {
		store := chain(t, key, "db", 2)
		newer, newerPublic := newKey(t)
		if _, err := Append(t.Context(), store, newer, drill(t, "db", 3)); err != nil {
			t.Fatal(err)
		}
		both, err := signature.ParseKeys([]byte(public + "\n" + newerPublic))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := Verify(t.Context(), store, both, "db"); err != nil || len(c.Problems) > 0 {
			t.Errorf("%v: %+v", err, c.Problems)
		}
	})
	t.Run("a record is JSON whose text and signature other tools can read", func(t *testing.T) {
		store := chain(t, key, "db", 1)
		var e envelope
		if err := json.Unmarshal([]byte(store.objects[place(1)]), &e); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Verify(signature.Evidence, []byte(e.Record), []byte(e.Signature)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a long chain keeps its order", func(t *testing.T) {
		if c, err := Verify(t.Context(), chain(t, key, "db", 12), keys, "db"); err != nil || len(c.Problems) > 0 || c.Entries[11].Sequence != 12 {
			t.Errorf("%v: %+v", err, c.Problems)
		}
	})
	t.Run("a name that no drill gives does not overflow", func(t *testing.T) {
		store := &memory{objects: map[string]string{place(maxSequence): "{}"}}
		if _, err := Append(t.Context(), store, key, drill(t, "db", 1)); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("got %v", err)
		}
	})
}

func TestNew(t *testing.T) {
	many := pgarchive.Tally{Tables: map[string]pgarchive.Table{}}
	for n := range maxContentTables + 1 {
		many.Tables[fmt.Sprint(n)] = pgarchive.Table{Rows: 1}
	}
	v := backup.Verification{Differences: slices.Repeat([]string{"x"}, 1000)}
	r, err := New(backup.Manifest{}, v, many)
	if err != nil || r.Content != nil || r.Fingerprint == "" || len(r.Differences) != maxDifferences {
		t.Errorf("%v %+v", err, r)
	}
	key, _ := newKey(t)
	if body, err := seal(r, key); err != nil || len(body) > 16<<10 || bytes.Contains(body, []byte("OPENSSH")) {
		t.Errorf("%v: %d bytes", err, len(body))
	}
	t.Run("the fingerprint changes with one row", func(t *testing.T) {
		many.Tables["0"] = pgarchive.Table{Rows: 2}
		if other, err := New(backup.Manifest{}, v, many); err != nil || other.Fingerprint == r.Fingerprint {
			t.Errorf("%v %s", err, other.Fingerprint)
		}
	})
}
