package dump

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"sync"
	"time"

	"github.com/nova/novawire/backup"
)

// Layout defines how streams are divided into parts and objects.
type Layout struct {
	PartSize        int // all parts but an object's last have this size
	PartsPerObject  int // then the next object begins
	ConcurrentParts int // of one stream, in flight
	// SeparateFrom is the size on disk, in bytes, from which a table can get a dump of
	// its own.
	SeparateFrom int64
}

// DefaultLayout keeps clear of every store's limits: parts of one size (some
// insist on it), 512 in an object (some end at 1,000), objects of 8 GiB.
var DefaultLayout = Layout{PartSize: 16 << 20, PartsPerObject: 512, ConcurrentParts: 2, SeparateFrom: 64 << 20}

// cleanUpTimeout bounds the clean-up after a failure, which runs even if the context of
// the run has ended.
const cleanUpTimeout = 30 * time.Second

// objectWriter divides a stream into parts and objects. One goroutine writes to it, others
// upload the parts. finish or abort ends it.
type objectWriter struct {
	ctx     context.Context //nolint:containedctx // io.Writer has no place for it; the writer lives within one call of store
	store   backup.Writer
	layout  Layout
	name    func(n int) string // of the n-th object, below the folder
	folder  string
	buffers freeList

	part    []byte
	number  int // parts of this object handed to its upload
	size    int64
	sum     hash.Hash
	upload  backup.Upload
	uploads sync.WaitGroup
	slots   chan struct{}
	objects []backup.StoredObject

	mu  sync.Mutex
	err error
}

func newObjectWriter(ctx context.Context, store backup.Writer, layout Layout, folder string, name func(int) string, buffers freeList) *objectWriter {
	return &objectWriter{ctx: ctx, store: store, layout: layout, folder: folder, name: name, buffers: buffers, sum: sha256.New(), slots: make(chan struct{}, layout.ConcurrentParts)}
}

func (w *objectWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(w.part) == w.layout.PartSize {
			if err := w.sendPart(); err != nil {
				return n - len(p), err
			}
		}
		if w.part == nil {
			w.part = w.buffers.take(w.layout.PartSize)
		}
		k := min(len(p), w.layout.PartSize-len(w.part))
		w.part = append(w.part, p[:k]...)
		p = p[k:]
	}
	return n, nil
}

// sendPart uploads the current part, which is full. It is called when more bytes follow,
// so that a stream of one part needs no multipart upload.
func (w *objectWriter) sendPart() error {
	if err := w.failure(); err != nil {
		return err
	}
	if w.upload == nil {
		upload, err := w.store.Begin(w.ctx, w.key())
		if err != nil {
			return w.setFailure(fmt.Errorf("begin %s: %w", w.key(), err))
		}
		w.upload = upload
	}
	w.uploadPart()
	if w.number == w.layout.PartsPerObject {
		return w.complete()
	}
	return nil
}

// uploadPart uploads the current part in the background, as soon as fewer than
// ConcurrentParts uploads run.
func (w *objectWriter) uploadPart() {
	part, key, upload := w.part, w.key(), w.upload
	w.part = nil
	w.number++
	number := w.number
	w.addToChecksum(part)
	w.slots <- struct{}{}
	w.uploads.Go(func() {
		defer func() { w.buffers.put(part); <-w.slots }()
		if err := upload.Part(w.ctx, number, part); err != nil {
			_ = w.setFailure(fmt.Errorf("write part %d of %s: %w", number, key, err))
		}
	})
}

func (w *objectWriter) addToChecksum(part []byte) {
	w.size += int64(len(part))
	_, _ = w.sum.Write(part)
}

// complete completes the current object and prepares the next.
func (w *objectWriter) complete() error {
	w.uploads.Wait()
	if err := w.failure(); err != nil {
		return err
	}
	if err := w.upload.Complete(w.ctx); err != nil {
		return w.setFailure(fmt.Errorf("complete %s: %w", w.key(), err))
	}
	w.startNextObject()
	return nil
}

func (w *objectWriter) startNextObject() {
	w.objects = append(w.objects, backup.StoredObject{Name: w.name(len(w.objects)), Size: w.size, SHA256: hex.EncodeToString(w.sum.Sum(nil))})
	w.upload, w.number, w.size = nil, 0, 0
	w.sum.Reset()
}

// finish writes the remaining bytes and returns the objects of the stream.
func (w *objectWriter) finish() ([]backup.StoredObject, error) {
	switch {
	case w.upload != nil:
		w.uploadPart()
		if err := w.complete(); err != nil {
			return nil, err
		}
	case len(w.part) > 0 || len(w.objects) == 0:
		w.addToChecksum(w.part)
		if err := w.store.Put(w.ctx, w.key(), w.part); err != nil {
			return nil, w.setFailure(fmt.Errorf("write %s: %w", w.key(), err))
		}
		w.startNextObject()
	}
	w.release()
	return w.objects, w.failure()
}

// abort aborts the open upload. The run deletes the objects that are complete; without a
// manifest they are no backup.
func (w *objectWriter) abort(ctx context.Context) error {
	w.uploads.Wait()
	w.release()
	if w.upload == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	if err := w.upload.Abort(ctx); err != nil {
		return fmt.Errorf("abort %s: %w", w.key(), err)
	}
	w.upload = nil
	return nil
}

func (w *objectWriter) key() string { return w.folder + w.name(len(w.objects)) }

func (w *objectWriter) release() {
	if w.part != nil {
		w.buffers.put(w.part)
		w.part = nil
	}
}

// freeList keeps buffers for the next parts. A sync.Pool would release them to the garbage
// collector and allocate new ones before the old ones are freed.
type freeList chan []byte

func (f freeList) take(size int) []byte {
	select {
	case b := <-f:
		return b[:0]
	default:
		return make([]byte, 0, size)
	}
}

func (f freeList) put(b []byte) {
	select {
	case f <- b:
	default:
	}
}

func (w *objectWriter) setFailure(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *objectWriter) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
