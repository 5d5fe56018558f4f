package folder

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/backup"
)

func TestReader(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(outside, "secret"): "secret", filepath.Join(dir, "a/x"): "1", filepath.Join(dir, "a-b/x"): "22", filepath.Join(dir, "b/y"): "333",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "a/link")); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	t.Run("lists files by prefix, in the order of keys", func(t *testing.T) {
		for prefix, want := range map[string][]string{"": {"a-b/x", "a/x", "b/y"}, "a/": {"a/x"}, "c": nil} {
			var keys []string
			if err := r.List(t.Context(), prefix, func(o backup.Object) error { keys = append(keys, o.Key); return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, keys); diff != "" {
				t.Errorf("%q: %s", prefix, diff)
			}
		}
	})
	t.Run("reads a file", func(t *testing.T) {
		o, err := r.Stat(t.Context(), "a-b/x")
		if err != nil || o.Size != 2 {
			t.Errorf("%+v %v", o, err)
		}
		body, err := r.Open(t.Context(), "a-b/x")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = body.Close() }()
		if content, err := io.ReadAll(body); err != nil || string(content) != "22" {
			t.Errorf("%q %v", content, err)
		}
	})
	t.Run("what does not exist is not found", func(t *testing.T) {
		_, openErr := r.Open(t.Context(), "a/z")
		_, statErr := r.Stat(t.Context(), "a/z")
		if !errors.Is(openErr, backup.ErrNotFound) || !errors.Is(statErr, backup.ErrNotFound) {
			t.Errorf("%v, %v", openErr, statErr)
		}
	})
	t.Run("follows no link and no path out of the folder", func(t *testing.T) {
		for _, key := range []string{"a/link", "../x", filepath.Join(outside, "secret")} {
			if body, err := r.Open(t.Context(), key); err == nil {
				_ = body.Close()
				t.Errorf("%s was opened", key)
			}
		}
	})
}
