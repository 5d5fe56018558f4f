// Package codec compresses and encrypts dumps, and reads them back. It writes independent
// zstd frames with checksums and, if there are recipients, encrypts them with age. The
// commands `age -d | zstd -d` read the result.
package codec

import (
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// FrameSize is the size of a frame before compression, in bytes. Frames are independent
// of each other, so that several are compressed at the same time. 4 MiB is eight times the
// window of zstd's fastest level: the stream grows by less than 1 %.
const FrameSize = 4 << 20

// framesInFlight is how many frames of one stream are in memory: one that is filled, and
// those that are being compressed or wait to be written.
const framesInFlight = 3

// Memory is the largest memory of one open Writer, in bytes.
const Memory = framesInFlight * (2*FrameSize + FrameSize/64)

// Writer compresses and encrypts a stream. The caller must close it, or a goroutine is
// left behind. The stream is whole only if Close returns nil.
type Writer struct {
	dst     io.Writer
	sealed  io.WriteCloser // of age; nil without encryption
	encoder *zstd.Encoder

	free    chan *frame // frames that may be filled
	ordered chan *frame // frames in the order of the stream
	current *frame
	frames  int
	ended   sync.WaitGroup

	mu  sync.Mutex
	err error
}

type frame struct {
	raw, packed []byte
	ready       chan struct{}
}

// NewWriter returns a Writer to dst. It encrypts to the recipients if there are any.
func NewWriter(dst io.Writer, recipients ...age.Recipient) (*Writer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true),
		zstd.WithZeroFrames(true), zstd.WithEncoderConcurrency(framesInFlight))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	w := &Writer{dst: dst, encoder: encoder, free: make(chan *frame, framesInFlight), ordered: make(chan *frame, framesInFlight)}
	if len(recipients) > 0 {
		if w.sealed, err = age.Encrypt(dst, recipients...); err != nil {
			return nil, fmt.Errorf("start encryption: %w", err)
		}
		w.dst = w.sealed
	}
	for range framesInFlight {
		w.free <- &frame{ready: make(chan struct{}, 1)}
	}
	w.ended.Go(w.drain)
	return w, nil
}

// Write implements [io.Writer].
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if w.current == nil {
			w.current = <-w.free
			w.current.raw = w.current.raw[:0]
			if cap(w.current.raw) == 0 {
				w.current.raw = make([]byte, 0, FrameSize)
			}
		}
		k := min(len(p), FrameSize-len(w.current.raw))
		w.current.raw = append(w.current.raw, p[:k]...)
		p = p[k:]
		if len(w.current.raw) == FrameSize {
			w.submit()
		}
		if err := w.failed(); err != nil {
			return n - len(p), err
		}
	}
	return n, nil
}

// Close writes the remaining bytes and ends the stream. It returns the first error of the
// whole stream.
func (w *Writer) Close() error {
	if w.current != nil || w.frames == 0 { // an empty stream has a frame too: zstd -d needs one
		if w.current == nil {
			w.current = <-w.free
		}
		w.submit()
	}
	close(w.ordered)
	w.ended.Wait()
	_ = w.encoder.Close()
	if err := w.failed(); err != nil || w.sealed == nil {
		return err
	}
	if err := w.sealed.Close(); err != nil {
		return fmt.Errorf("end encryption: %w", err)
	}
	return nil
}

// submit compresses the current frame in the background. The frame's channel reports when
// that is done, so that frames are written in their order.
func (w *Writer) submit() {
	f := w.current
	w.current = nil
	w.frames++
	w.ordered <- f
	go func() {
		if cap(f.packed) == 0 {
			f.packed = make([]byte, 0, FrameSize+FrameSize/64)
		}
		f.packed = w.encoder.EncodeAll(f.raw, f.packed[:0])
		f.ready <- struct{}{}
	}()
}

func (w *Writer) drain() {
	for f := range w.ordered {
		<-f.ready
		if w.failed() == nil {
			if _, err := w.dst.Write(f.packed); err != nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
			}
		}
		w.free <- f
	}
}

func (w *Writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
