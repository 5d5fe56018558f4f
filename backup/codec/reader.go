package codec

import (
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Reader gives back what a [Writer] was given. A frame whose checksum is wrong,
// or an encrypted chunk that was touched, is an error.
type Reader struct{ decoder *zstd.Decoder }

// NewReader reads a stream from src. Encrypted streams need an identity.
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

// WriteTo implements [io.WriterTo], without a buffer between.
func (r *Reader) WriteTo(w io.Writer) (int64, error) { return r.decoder.WriteTo(w) }

// Close frees what the decoder holds.
func (r *Reader) Close() error {
	r.decoder.Close()
	return nil
}
