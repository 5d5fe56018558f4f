// Package codec turns a dump into what is stored and back: zstd in independent
// frames with checksums, then, where recipients are given, age. What it writes
// can be read by hand with `age -d | zstd -d`.
package codec

import (
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// FrameSize is how much of a dump goes into one frame. Frames know nothing of
// each other, so that several are compressed at a time; 4 MiB is eight times the
// window of zstd's fastest level, so what is lost at the seams is below 1 %.
const FrameSize = 4 << 20

// framesInFlight is how many frames of one stream are in memory: one that fills,
// and those that are compressed or wait for their turn to be written.
const framesInFlight = 3

// Memory is what one open Writer holds at most, in bytes.
const Memory = framesInFlight * (2*FrameSize + FrameSize/64)

// Writer compresses, and encrypts, what is written to it. Close it to finish, or
// it leaves a goroutine behind; what Close returns decides whether the stream is whole.
type Writer struct {
	dst     io.Writer
	sealed  io.WriteCloser // age's, nil without encryption
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

// NewWriter returns a Writer to dst, encrypting to the recipients if there are any.
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

// Write takes bytes of the stream.
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

// Close writes what is left and ends the stream. It says whether all was written.
func (w *Writer) Close() error {
	if w.current != nil || w.frames == 0 { // no byte at all is a frame too: zstd -d wants one
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

// submit compresses the current frame beside the stream. The frame's own channel
// says when it is done, so that frames leave in order.
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
