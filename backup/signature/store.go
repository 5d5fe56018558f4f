package signature

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// Suffix is added to the name of an object for that of its signature.
const Suffix = ".sig"

// Reader verifies manifests and verdicts when they are read. A signature is an object
// of its own beside what it signs. A manifest holds the hash of every other object of
// its backup, so that its signature covers them all.
type Reader struct {
	backup.Reader
	Keys Keys // empty verifies nothing
	// Warn, if set, is called in place of an error about what is not signed.
	Warn func(key string, problem error)
}

// Store is a [Reader] that also signs manifests and verdicts when they are written.
type Store struct {
	backup.Store
	Key  *Key // nil signs nothing
	Keys Keys
	Warn func(key string, problem error)
}

// namespaceOf returns the purpose of the objects that are signed.
func namespaceOf(key string) (namespace string, signed bool) {
	_, _, name, ok := backup.SplitKey(key)
	switch {
	case ok && name == backup.ManifestName:
		return Manifest, true
	case ok && name == backup.VerificationName:
		return Verification, true
	}
	return "", false
}

// Put implements [backup.Writer].
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if namespace, signed := namespaceOf(key); signed && s.Key != nil {
		if err := s.Store.Put(ctx, key+Suffix, s.Key.Sign(namespace, body)); err != nil {
			return fmt.Errorf("write the signature: %w", err)
		}
	}
	return s.Store.Put(ctx, key, body)
}

// PutNew implements [backup.Writer]. The signature comes first: what is visible is
// signed.
func (s *Store) PutNew(ctx context.Context, key string, body []byte) error {
	if namespace, signed := namespaceOf(key); signed && s.Key != nil {
		if err := s.putSignature(ctx, key+Suffix, s.Key.Sign(namespace, body)); err != nil {
			return fmt.Errorf("write the signature: %w", err)
		}
	}
	return s.Store.PutNew(ctx, key, body)
}

// putSignature accepts the same signature, which an attempt has left whose answer was
// lost, and replaces no other.
func (s *Store) putSignature(ctx context.Context, key string, signature []byte) error {
	err := s.Store.PutNew(ctx, key, signature)
	if errors.Is(err, backup.ErrExists) {
		if same, readErr := backup.HoldsContent(ctx, s.Store, key, signature); readErr == nil && same {
			return nil
		}
	}
	return err
}

// Open implements [backup.Reader]; see [Reader.Open].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	return Reader{s.Store, s.Keys, s.Warn}.Open(ctx, key)
}

// Open implements [backup.Reader]. The last Read of a signed object returns
// [backup.ErrUnsigned] in place of [io.EOF] if the signature is missing or does not fit.
// Summaries are hidden: whoever can write the bucket writes them too.
func (r Reader) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if len(r.Keys) == 0 {
		return r.Reader.Open(ctx, key)
	}
	if strings.HasSuffix(key, "/"+backup.SummaryName) {
		return nil, backup.ErrNotFound
	}
	body, err := r.Reader.Open(ctx, key)
	namespace, signed := namespaceOf(key)
	if err != nil || !signed {
		return body, err
	}
	return &verifyingReader{ReadCloser: body, ctx: ctx, from: r, key: key, namespace: namespace, sum: NewHash()}, nil
}

// verifyingReader verifies what was read when it ends.
type verifyingReader struct {
	io.ReadCloser
	ctx            context.Context //nolint:containedctx // io.Reader has no place for it; the caller closes the reader
	from           Reader
	key, namespace string
	sum            hash.Hash
	end            error // of the verification
}

func (r *verifyingReader) Read(p []byte) (int, error) {
	if r.end != nil {
		return 0, r.end
	}
	n, err := r.ReadCloser.Read(p)
	_, _ = r.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		r.end = r.verify()
		err = r.end
	}
	return n, err
}

// verify returns io.EOF where the content is signed.
func (r *verifyingReader) verify() error {
	problem, err := r.problem()
	switch {
	case err != nil:
		return err
	case problem == nil:
		return io.EOF
	case r.from.Warn != nil:
		r.from.Warn(r.key, problem)
		return io.EOF
	}
	return backup.Fail(backupapi.CategoryVerify, fmt.Errorf("%w: %w", backup.ErrUnsigned, problem))
}

// problem explains why the content is not signed. An error is about the store.
func (r *verifyingReader) problem() (problem, err error) {
	signature, err := ReadObject(r.ctx, r.from.Reader, r.key+Suffix, MaxBytes)
	switch {
	case errors.Is(err, backup.ErrNotFound):
		return errors.New("it has no signature"), nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", r.key+Suffix, err)
	}
	_, problem = r.from.Keys.VerifySum(r.namespace, r.sum.Sum(nil), signature)
	return problem, nil
}

// ReadObject reads an object of at most so many bytes; a larger one is cut.
func ReadObject(ctx context.Context, store backup.Reader, key string, limit int64) ([]byte, error) {
	body, err := store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return io.ReadAll(io.LimitReader(body, limit))
}
