package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/codec"
)

// storedReader reads the objects of a stream one after the other, and compares each
// with the manifest when it ends.
type storedReader struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no place for it; the reader lives within one call
	store  Reader
	folder string
	left   []StoredObject

	open io.ReadCloser
	sum  hash.Hash
	size int64
}

func (r *storedReader) Read(p []byte) (int, error) {
	for {
		if r.open == nil {
			if len(r.left) == 0 {
				return 0, io.EOF
			}
			if err := r.next(); err != nil {
				return 0, err
			}
		}
		n, err := r.open.Read(p)
		_, _ = r.sum.Write(p[:n])
		r.size += int64(n)
		if errors.Is(err, io.EOF) {
			err = r.check()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *storedReader) next() error {
	body, err := r.store.Open(r.ctx, r.folder+r.left[0].Name)
	if errors.Is(err, ErrNotFound) {
		return Fail(backupapi.CategoryVerify, fmt.Errorf("read %s: %w", r.left[0].Name, err))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", r.left[0].Name, err)
	}
	r.open, r.sum, r.size = body, sha256.New(), 0
	return nil
}

// check compares the object that was read last with the manifest.
func (r *storedReader) check() error {
	want := r.left[0]
	_ = r.open.Close()
	r.open, r.left = nil, r.left[1:]
	if r.size != want.Size {
		return Fail(backupapi.CategoryVerify, fmt.Errorf("read %s: %d bytes, the manifest says %d", want.Name, r.size, want.Size))
	}
	if got := hex.EncodeToString(r.sum.Sum(nil)); got != want.SHA256 {
		return Fail(backupapi.CategoryVerify, fmt.Errorf("read %s: its SHA-256 is not the manifest's", want.Name))
	}
	return nil
}

func (r *storedReader) Close() error {
	if r.open != nil {
		return r.open.Close()
	}
	return nil
}

// OpenStored returns the stored bytes of a stream, still encrypted and compressed. It
// compares each object with the manifest.
func OpenStored(ctx context.Context, store Reader, m Manifest, s Stream) io.ReadCloser {
	return &storedReader{ctx: ctx, store: store, folder: m.Folder(), left: s.Objects}
}

// CheckStored compares every stored object of a backup with the manifest, some streams
// at the same time. It runs nothing of what it reads.
func CheckStored(ctx context.Context, store Reader, m Manifest, atATime int) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(max(1, atATime))
	for _, s := range m.Streams {
		all.Go(func() error {
			objects := OpenStored(ctx, store, m, s)
			defer func() { _ = objects.Close() }()
			if _, err := io.Copy(io.Discard, objects); err != nil {
				return fmt.Errorf("check %s: %w", s.Title(), err)
			}
			return nil
		})
	}
	return all.Wait()
}

// OpenStream returns a stream as its process wrote it. The category usage says that
// the identities do not open it; verify, that it is damaged.
func OpenStream(ctx context.Context, store Reader, m Manifest, s Stream, identities []age.Identity) (io.ReadCloser, error) {
	objects := &storedReader{ctx: ctx, store: store, folder: m.Folder(), left: s.Objects}
	unpacked, err := codec.NewReader(objects, m.Encrypted, identities...)
	if err != nil {
		_ = objects.Close()
		category := backupapi.CategoryVerify
		if IsWrongIdentity(err) {
			category = backupapi.CategoryUsage // the backup may well be good
		}
		return nil, Fail(category, err)
	}
	return &streamReader{unpacked, objects, s.Bytes}, nil
}

// IsWrongIdentity reports whether a stream could not be opened because no identity, or
// none that fits, was given.
func IsWrongIdentity(err error) bool {
	var noMatch *age.NoIdentityMatchError
	return errors.Is(err, codec.ErrNoIdentity) || errors.As(err, &noMatch)
}

// streamReader returns an error at the end if the stream has another length than the
// manifest says.
type streamReader struct {
	unpacked *codec.Reader
	objects  *storedReader
	left     int64
}

func (r *streamReader) Read(p []byte) (int, error) {
	n, err := r.unpacked.Read(p)
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && r.left != 0:
		err = Fail(backupapi.CategoryVerify, fmt.Errorf("unpack: %d bytes differ from the manifest", r.left))
	case err != nil && !errors.Is(err, io.EOF):
		err = Fail(backupapi.CategoryVerify, fmt.Errorf("unpack: %w", err))
	}
	return n, err
}

func (r *streamReader) Close() error {
	return errors.Join(r.unpacked.Close(), r.objects.Close())
}
