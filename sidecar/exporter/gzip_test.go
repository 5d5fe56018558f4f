package exporter

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// What gRPC holds of a compressed request is no more than a little above the request,
// whatever is in it.
func TestGzip_MemoryOfGRPC(t *testing.T) {
	random := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	for name, body := range map[string][]byte{
		"random bytes": random,
		"text":         []byte(strings.Repeat("GET /cart 200 ", 150_000)),
		"half of both": append([]byte(strings.Repeat("GET /cart 200 ", 75_000)), random[:1<<20]...),
		"a few bytes":  []byte("span"),
	} {
		t.Run(name, func(t *testing.T) {
			pool := &countingPool{BufferPool: mem.DefaultBufferPool()}
			var out mem.BufferSlice
			w, err := encoding.GetCompressor(gzipName).Compress(mem.NewWriter(&out, pool))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(body); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if most := len(body)*5/4 + 2*partBytes; pool.bytes > most {
				t.Errorf("%d bytes are in buffers of %d, want at most %d", len(body), pool.bytes, most)
			}
			r, err := encoding.GetCompressor(gzipName).Decompress(out.Reader())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes come back, want %d: %v", len(got), len(body), err)
			}
		})
	}
}

// countingPool counts the capacity of the buffers that it gives.
type countingPool struct {
	mem.BufferPool
	bytes int
}

func (p *countingPool) Get(length int) *[]byte {
	b := p.BufferPool.Get(length)
	p.bytes += cap(*b)
	return b
}

func TestParts_EndsWithAnError(t *testing.T) {
	full := errors.New("no room")
	n, err := parts{writerFunc(func(b []byte) (int, error) {
		if len(b) < partBytes {
			return 3, full
		}
		return len(b), nil
	})}.Write(make([]byte, 2*partBytes+10))
	if n != 2*partBytes+3 || !errors.Is(err, full) {
		t.Errorf("wrote %d, %v", n, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
