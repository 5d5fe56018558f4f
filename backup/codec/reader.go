package codec

import (
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Reader reads a stream of a [Writer]. A wrong checksum of a frame, or an encrypted chunk
// that was changed, is an error.
type Reader struct{ decoder *zstd.Decoder }

// NewReader returns a Reader of src. An encrypted stream needs an identity.
func NewReader(src io.Reader, encrypted bool, identities ...age.Identity) (*Reader, error) {
	if encrypted {
		if len(identities) == 0 {
			return nil, fmt.Errorf("decrypt: %w", ErrNoIdentity)
		}
		var err error
		if src, err = age.Decrypt(src, identities...); err != nil {
			return nil, fmt.Errorf("decrypt: %w", err)
		}
	}
	decoder, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, fmt.Errorf("start zstd: %w", err)
	}
	return &Reader{decoder}, nil
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) { return r.decoder.Read(p) }

// WriteTo implements [io.WriterTo]. It needs no buffer of its own.
func (r *Reader) WriteTo(w io.Writer) (int64, error) { return r.decoder.WriteTo(w) }

// Close releases the decoder.
func (r *Reader) Close() error {
	r.decoder.Close()
	return nil
}
