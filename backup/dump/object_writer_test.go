package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nova/novawire/backup"
)

// partStore takes uploads and judges them as the strictest stores do.
type partStore struct {
	mu      sync.Mutex
	t       *testing.T
	layout  Layout
	objects map[string][]byte
	open    map[string]bool
	fail    error // of the third part
}

func (s *partStore) Put(_ context.Context, key string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = bytes.Clone(body)
	return nil
}

func (s *partStore) PutNew(ctx context.Context, key string, body []byte) error {
	return s.Put(ctx, key, body)
}

func (s *partStore) Begin(_ context.Context, key string) (backup.Upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[key] = true
	return &partUpload{store: s, key: key, parts: map[int][]byte{}}, nil
}

type partUpload struct {
	store *partStore
	key   string
	parts map[int][]byte
}

func (u *partUpload) Part(_ context.Context, number int, body []byte) error {
	s := u.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if number == 3 && s.fail != nil {
		return s.fail
	}
	if number > s.layout.PartsPerObject {
		s.t.Errorf("%s: part %d", u.key, number)
	}
	u.parts[number] = bytes.Clone(body)
	return nil
}

func (u *partUpload) Complete(ctx context.Context) error {
	var whole []byte
	for n := 1; n <= len(u.parts); n++ {
		if n < len(u.parts) && len(u.parts[n]) != u.store.layout.PartSize {
			u.store.t.Errorf("%s: part %d of %d has %d bytes", u.key, n, len(u.parts), len(u.parts[n]))
		}
		whole = append(whole, u.parts[n]...)
	}
	delete(u.store.open, u.key)
	return u.store.Put(ctx, u.key, whole)
}

func (u *partUpload) Abort(context.Context) error {
	delete(u.store.open, u.key)
	return nil
}

func newPartStore(t *testing.T) *partStore {
	return &partStore{t: t, layout: Layout{PartSize: 10, PartsPerObject: 4, ConcurrentParts: 3}, objects: map[string][]byte{}, open: map[string]bool{}}
}

func (s *partStore) writer(t *testing.T) *objectWriter {
	return newObjectWriter(t.Context(), s, s.layout, "db/id/", func(n int) string { return fmt.Sprintf("base.%05d", n) }, make(freeList, 4))
}

// Stores with a limit of 1,000 parts, and stores that want parts of one size, take
// every length of stream.
func TestObjectWriter_PartsAndObjects(t *testing.T) {
	for length := range 130 {
		for _, chunk := range []int{1, 7, 1000} {
			s := newPartStore(t)
			w := s.writer(t)
			want := bytes.Repeat([]byte("0123456"), 20)[:length]
			for rest := want; len(rest) > 0; {
				n := min(chunk, len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			objects, err := w.finish()
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for _, o := range objects {
				if int64(len(s.objects["db/id/"+o.Name])) != o.Size || o.Size > 40 {
					t.Errorf("length %d: %s has %d bytes", length, o.Name, o.Size)
				}
				got = append(got, s.objects["db/id/"+o.Name]...)
			}
			if !bytes.Equal(got, want) || len(s.objects) != len(objects) || len(s.open) != 0 {
				t.Errorf("length %d in chunks of %d: got %d bytes in %d objects, %d open", length, chunk, len(got), len(s.objects), len(s.open))
			}
		}
	}
}

func TestObjectWriter_PartFails(t *testing.T) {
	s := newPartStore(t)
	s.fail = errors.New("disk full")
	w := s.writer(t)
	var err error
	for range 100 {
		if _, err = w.Write([]byte("0123456789")); err != nil {
			break
		}
	}
	if !errors.Is(err, s.fail) {
		t.Errorf("Write said %v", err)
	}
	if err := w.abort(t.Context()); err != nil || len(s.open) != 0 {
		t.Errorf("abort: %v; %d open", err, len(s.open))
	}
}

func TestLayout_Default(t *testing.T) {
	l := DefaultLayout
	if l.PartsPerObject > 1000 || l.PartSize < 5<<20 || int64(l.PartSize)*int64(l.PartsPerObject) > 5<<40 {
		t.Errorf("%+v", l)
	}
}
