// Package storetest contains the conformance tests of [backup.Store].
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/nova/novawire/backup"
)

// Conforms runs the tests, each with a new, empty store.
func Conforms(t *testing.T, open func(*testing.T) backup.Store) {
	t.Helper()
	cases := map[string]func(*testing.T, backup.Store){
		"an object that was put can be read":           putAndRead,
		"an object that does not exist is not found":   notFound,
		"a second object with the same key is refused": putNew,
		"parts become an object when it is completed":  upload,
		"an upload that is aborted leaves nothing":     abort,
		"unfinished uploads are listed and discarded":  unfinished,
		"objects are listed by prefix, in order":       list,
		"deleting twice is no error":                   remove,
		"the store has a clock":                        now,
		"the store says what protects it":              protection,
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

func protection(t *testing.T, s backup.Store) {
	answers := s.Protection(t.Context())
	if len(answers) == 0 {
		t.Error("no answer")
	}
	for _, a := range answers {
		if a.Question == "" || a.Answer == "" {
			t.Errorf("got %+v", a)
		}
	}
}

func putAndRead(t *testing.T, s backup.Store) {
	for _, want := range [][]byte{{}, []byte("content"), bytes.Repeat([]byte("x"), 1<<20)} {
		check(t, s.Put(t.Context(), "a/b", want))
		if got := read(t, s, "a/b"); !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
		o, err := s.Stat(t.Context(), "a/b")
		check(t, err)
		if o.Size != int64(len(want)) || o.Key != "a/b" || time.Since(o.Modified).Abs() > time.Minute {
			t.Errorf("got %+v", o)
		}
	}
}

func notFound(t *testing.T, s backup.Store) {
	_, openErr := s.Open(t.Context(), "none")
	_, statErr := s.Stat(t.Context(), "none")
	for _, err := range []error{openErr, statErr} {
		if !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

func putNew(t *testing.T, s backup.Store) {
	check(t, s.PutNew(t.Context(), "k", []byte("first")))
	if err := s.PutNew(t.Context(), "k", []byte("second")); !errors.Is(err, backup.ErrExists) {
		t.Errorf("got %v", err)
	}
	if got := read(t, s, "k"); string(got) != "first" {
		t.Errorf("got %q", got)
	}
}

const part = 5 << 20 // the smallest part that S3 allows

func upload(t *testing.T, s backup.Store) {
	u, err := s.Begin(t.Context(), "big")
	check(t, err)
	check(t, u.Part(t.Context(), 2, []byte("tail")))
	check(t, u.Part(t.Context(), 1, bytes.Repeat([]byte("p"), part)))
	if _, err := s.Stat(t.Context(), "big"); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("before Complete: got %v", err)
	}
	check(t, u.Complete(t.Context()))
	if got := read(t, s, "big"); len(got) != part+4 || string(got[part:]) != "tail" {
		t.Errorf("got %d bytes", len(got))
	}
}

func abort(t *testing.T, s backup.Store) {
	u, err := s.Begin(t.Context(), "gone")
	check(t, err)
	check(t, u.Part(t.Context(), 1, []byte("x")))
	check(t, u.Abort(t.Context()))
	check(t, u.Abort(t.Context()))
	if open := uploads(t, s); len(open) > 0 {
		t.Errorf("left %v", open)
	}
}

func unfinished(t *testing.T, s backup.Store) {
	_, err := s.Begin(t.Context(), "f/o")
	check(t, err)
	open := uploads(t, s)
	if len(open) == 0 || open[0].Key != "f/o" || time.Since(open[0].Begun).Abs() > time.Minute {
		t.Fatalf("got %+v", open)
	}
	for _, u := range open { // an attempt of Begin whose response was lost may leave another
		check(t, s.Discard(t.Context(), u))
	}
	if left := uploads(t, s); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func list(t *testing.T, s backup.Store) {
	for _, key := range []string{"b/2", "a/1", "b/1", "bb/1"} {
		check(t, s.Put(t.Context(), key, []byte(key)))
	}
	var got []string
	check(t, s.List(t.Context(), "b/", func(o backup.Object) error {
		got = append(got, o.Key)
		return nil
	}))
	if !slices.Equal(got, []string{"b/1", "b/2"}) {
		t.Errorf("got %v", got)
	}
	stop := errors.New("stop")
	if err := s.List(t.Context(), "", func(backup.Object) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func remove(t *testing.T, s backup.Store) {
	var keys []string
	for i := range 5 {
		keys = append(keys, fmt.Sprint("k", i))
		check(t, s.Put(t.Context(), keys[i], nil))
	}
	check(t, s.Delete(t.Context(), keys...))
	check(t, s.Delete(t.Context(), keys...))
	check(t, s.Delete(t.Context()))
	if _, err := s.Stat(t.Context(), "k0"); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if until, err := s.LockedUntil(t.Context(), "k0"); err != nil || !until.IsZero() {
		t.Errorf("lock of a deleted object: %v, %v", until, err)
	}
}

func now(t *testing.T, s backup.Store) {
	at, err := s.Now(t.Context())
	check(t, err)
	if time.Since(at).Abs() > time.Minute {
		t.Errorf("got %v", at)
	}
}

func uploads(t *testing.T, s backup.Store) (found []backup.Unfinished) {
	t.Helper()
	check(t, s.Unfinished(t.Context(), func(u backup.Unfinished) error {
		found = append(found, u)
		return nil
	}))
	return found
}

func read(t *testing.T, s backup.Store, key string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	check(t, err)
	defer func() { _ = r.Close() }()
	content, err := io.ReadAll(r)
	check(t, err)
	return content
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
