// Package folder reads backups from a folder into which a bucket was downloaded, for
// example with `aws s3 sync`. It writes nothing.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/nova/novawire/backup"
)

// Reader reads the objects below a folder. Links that lead out of it are not followed.
type Reader struct{ root *os.Root }

// Open opens the folder that corresponds to the store's prefix. The caller closes it.
func Open(path string) (*Reader, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open the folder: %w", err)
	}
	return &Reader{root}, nil
}

// Close implements [io.Closer].
func (r *Reader) Close() error { return r.root.Close() }

// List implements [backup.Reader].
func (r *Reader) List(_ context.Context, prefix string, each func(backup.Object) error) error {
	var objects []backup.Object
	err := fs.WalkDir(r.root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.HasPrefix(path, prefix) {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			objects = append(objects, backup.Object{Key: path, Size: info.Size(), Modified: info.ModTime()})
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(objects, func(a, b backup.Object) int { return strings.Compare(a.Key, b.Key) })
	for _, o := range objects {
		if err := each(o); err != nil {
			return err
		}
	}
	return nil
}

// Open implements [backup.Reader].
func (r *Reader) Open(_ context.Context, key string) (io.ReadCloser, error) {
	file, err := r.root.Open(key)
	if err != nil {
		return nil, notFound(err)
	}
	return file, nil
}

// Stat implements [backup.Reader].
func (r *Reader) Stat(_ context.Context, key string) (backup.Object, error) {
	info, err := r.root.Stat(key)
	if err != nil {
		return backup.Object{}, notFound(err)
	}
	return backup.Object{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(backup.ErrNotFound, err)
	}
	return err
}

var _ backup.Reader = (*Reader)(nil)
