package replica

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/signature"
)

// backup copies one backup. Its manifest comes last: it commits the copy.
func (c Copier) backup(ctx context.Context, r backup.Record) error {
	m, err := backup.ReadManifest(ctx, c.From, r.Entry.Database, r.Entry.ID)
	if err != nil {
		return err
	}
	if err := c.objects(ctx, m); err != nil {
		return err
	}
	if err := c.beside(ctx, r.Entry); err != nil {
		return err
	}
	key := m.Folder() + backup.ManifestName
	if err := c.small(ctx, key, backup.MaxManifestBytes, c.To.PutNew); err != nil && !errors.Is(err, backup.ErrExists) {
		return fmt.Errorf("commit the copy: %w", err)
	}
	if _, err := backup.ReadManifest(ctx, c.To, m.Database, m.ID); err != nil {
		return fmt.Errorf("read the manifest of the copy back: %w", err)
	}
	return nil
}

// objects copies all objects of a backup, some at the same time.
func (c Copier) objects(ctx context.Context, m backup.Manifest) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(max(1, c.AtATime))
	for _, s := range m.Streams {
		for _, o := range s.Objects {
			all.Go(func() error {
				if err := c.object(ctx, m.Folder()+o.Name, o); err != nil {
					return fmt.Errorf("%s: %w", o.Name, err)
				}
				return nil
			})
		}
	}
	return all.Wait()
}

// object copies one object, unless an earlier attempt has, and verifies what arrived.
func (c Copier) object(ctx context.Context, key string, want backup.StoredObject) error {
	if err := c.arrived(ctx, key, want); err == nil {
		return nil
	}
	from, err := c.From.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	upload, err := c.To.Begin(ctx, key)
	if err != nil {
		return err
	}
	sum := sha256.New()
	err = c.parts(ctx, upload, io.TeeReader(from, sum))
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		err = verifyError("the original is not what its manifest says")
	}
	if err == nil {
		err = upload.Complete(ctx)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		return errors.Join(err, upload.Abort(ctx))
	}
	return c.arrived(ctx, key, want)
}

// abortTimeout bounds the clean-up after an upload that failed.
const abortTimeout = 30 * time.Second

func (c Copier) parts(ctx context.Context, upload backup.Upload, from io.Reader) error {
	buffer := make([]byte, c.PartSize)
	for number := 1; ; number++ {
		n, err := io.ReadFull(from, buffer)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return err
		}
		if n > 0 || number == 1 {
			if err := upload.Part(ctx, number, buffer[:n]); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
	}
}

// arrived reads an object of the copy whole and compares it with the manifest.
func (c Copier) arrived(ctx context.Context, key string, want backup.StoredObject) error {
	there, err := c.To.Stat(ctx, key)
	if err != nil {
		return fmt.Errorf("look for the copy: %w", err)
	}
	if there.Size != want.Size {
		return verifyError("the copy has %d bytes, the manifest says %d", there.Size, want.Size)
	}
	body, err := c.To.Open(ctx, key)
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	defer func() { _ = body.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		return verifyError("the copy is not what its manifest says")
	}
	return nil
}

// besides are what a folder may hold beside its manifest and the objects: signatures
// and the verdict of a drill. A hold is the copy's own affair.
var besides = []string{
	backup.ManifestName + signature.Suffix, backup.VerificationName + signature.Suffix, backup.VerificationName,
}

func (c Copier) beside(ctx context.Context, e backup.Entry) error {
	for _, name := range besides {
		if _, there := e.Objects[name]; !there {
			continue
		}
		err := c.small(ctx, e.Folder()+name, backup.MaxManifestBytes, c.To.Put)
		if errors.Is(err, backup.ErrUnsigned) { // a verdict that counts for nothing
			continue
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return nil
}

// small copies an object of at most limit bytes in one piece.
func (c Copier) small(ctx context.Context, key string, limit int64, put func(context.Context, string, []byte) error) error {
	from, err := c.From.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	content, err := io.ReadAll(io.LimitReader(from, limit+1))
	switch {
	case err != nil:
		return err
	case int64(len(content)) > limit:
		return verifyError("it has more than %d bytes", limit)
	}
	return put(ctx, key, content)
}
