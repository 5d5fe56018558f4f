package receiver

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Errors of bodies that are not taken.
var (
	errTooBig   = errors.New("the request is larger than the sidecar takes")
	errEncoding = errors.New("the encoding must be gzip, zstd or identity")
	errBody     = errors.New("the body cannot be read")
)

// firstBytes is what a body is given at first.
const firstBytes = 4 << 10

// readBody returns the whole body of one request, uncompressed. It holds as much
// of the budget as it holds bytes. size is the length of the body as it was sent;
// negative: unknown.
func (s *server) readBody(ctx context.Context, hold *share, from io.Reader, size int64, encoding string) ([]byte, error) {
	limit := int64(s.config.MaxRequestBytes)
	switch encoding {
	case "", "identity":
		return s.readAll(ctx, hold, from, size, limit)
	case "gzip":
		unzip, err := newGzip(from)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errBody, err)
		}
		defer gzips.Put(unzip)
		return s.readAll(ctx, hold, unzip, -1, limit)
	case "zstd":
		compressed, err := s.readAll(ctx, hold, from, size, limit/zstdRatio)
		if err != nil {
			return nil, err
		}
		return s.unzstd(ctx, hold, compressed)
	}
	return nil, errEncoding
}

// readAll reads up to the end, and at most limit, in a buffer that grows with what has
// arrived.
func (s *server) readAll(ctx context.Context, hold *share, from io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, errTooBig
	}
	var body []byte
	for {
		if len(body) == cap(body) {
			grown := s.grow(int64(cap(body)), size, limit)
			if err := hold.take(ctx, grown-int64(cap(body))); err != nil { // before there is the buffer
				return nil, err
			}
			fresh := append(s.newBody(grown), body...)
			hold.free(body)
			body = fresh
			hold.buffers = append(hold.buffers, body)
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, errTooBig
		case err == io.EOF: //nolint:errorlint // as io.Reader has it
			return body, nil
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errBody, err)
		}
	}
}

// grow returns the capacity of the buffer that follows one of so many bytes, for a body of
// size bytes, negative: unknown, and of at most limit.
func (s *server) grow(before, size, limit int64) int64 {
	grown := max(firstBytes, growth*before)
	if size >= 0 && grown > size {
		grown = size + 1 // the end is seen without growing again
	}
	switch largest := int64(s.config.MaxRequestBytes); {
	case grown <= growStep:
		return min(capacity(grown), largest+1)
	case size >= 0 && size < s.config.HeldBytes: // a large body is copied once more at most
		return size + 1
	case limit < largest:
		return limit + 1
	default:
		return largest + 1
	}
}

// newBody returns a buffer of a capacity that grow chose.
func (s *server) newBody(capacity int64) []byte {
	if capacity > int64(s.config.MaxRequestBytes) {
		return s.budget.newLargest()
	}
	return newBuffer(capacity)
}

// A buffer grows by this factor until it has growStep bytes, and then to its limit.
const (
	growth   = 4
	growStep = 1 << 20
)

// buffers keeps those of up to 128 KiB, by the power of two of their capacity.
var buffers [18]sync.Pool

// capacity is what a buffer for size bytes has.
func capacity(size int64) int64 {
	if class := bits.Len64(uint64(size - 1)); class < len(buffers) { //nolint:gosec // at least a byte
		return 1 << class
	}
	return size
}

func newBuffer(size int64) []byte {
	size = capacity(size)
	if class := bits.Len64(uint64(size)) - 1; class < len(buffers) && size == 1<<class { //nolint:gosec // at least a byte
		if b, ok := buffers[class].Get().(*[]byte); ok {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, size)
}

func freeBuffer(b []byte) {
	if class := bits.Len64(uint64(cap(b))) - 1; class > 0 && class < len(buffers) && cap(b) == 1<<class {
		buffers[class].Put(&b)
	}
}

// gzips keeps readers, which are forty kilobytes each.
var gzips sync.Pool

func newGzip(from io.Reader) (*gzip.Reader, error) {
	if unzip, ok := gzips.Get().(*gzip.Reader); ok {
		if err := unzip.Reset(from); err != nil {
			gzips.Put(unzip)
			return nil, err
		}
		return unzip, nil
	}
	return gzip.NewReader(from)
}

// unzstd decodes a whole frame: what was decoded is its window, so that none is
// held beside it, and the frame's claims are bounded by the limit of a request.
func (s *server) unzstd(ctx context.Context, hold *share, compressed []byte) ([]byte, error) {
	var header zstd.Header
	if err := header.Decode(compressed); err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	size := uint64(s.config.MaxRequestBytes)
	if header.HasFCS {
		size = header.FrameContentSize
	}
	if size > uint64(s.config.MaxRequestBytes) {
		return nil, errTooBig
	}
	if err := hold.take(ctx, int64(size)); err != nil {
		return nil, err
	}
	decoder, err := s.zstd()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	var to []byte
	if size > growStep {
		to = s.budget.newLargest()
		hold.buffers = append(hold.buffers, to)
	}
	body, err := decoder.DecodeAll(compressed, to)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return nil, errTooBig
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	return body, nil
}

// newZstd returns a function that makes the decoder when the first request needs it.
func newZstd(maxBytes int) func() (*zstd.Decoder, error) {
	return sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(maxBytes)), zstd.WithDecoderMaxWindow(zstdWindow))
	})
}

// zstdRatio is by how much smaller a body must be in zstd: the whole of it is held beside
// what is decoded.
const zstdRatio = 4

// zstdWindow is what encoders use by default at most.
const zstdWindow = 8 << 20
