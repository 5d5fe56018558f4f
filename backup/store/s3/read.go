package s3

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// reader reads an object. If the connection breaks, it continues at the same byte of the
// same version of the object.
type reader struct {
	ctx   context.Context //nolint:containedctx // io.Reader has no place for it; the caller closes the reader
	store *Store
	key   string

	body   io.ReadCloser
	etag   *string
	offset int64
	size   int64
	broken int // connections, since the last byte was received
}

// maxBreaks is how many connections in a row may break without a byte.
const maxBreaks = 5

func (r *reader) reopen() error {
	in := &sdk.GetObjectInput{Bucket: &r.store.set.Bucket, Key: r.store.key(r.key)}
	if r.offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", r.offset))
		in.IfMatch = r.etag
	}
	out, err := r.store.client.GetObject(r.ctx, in)
	if err != nil {
		return classify(err)
	}
	r.body = out.Body
	if r.etag == nil {
		r.etag, r.size = out.ETag, aws.ToInt64(out.ContentLength)
	}
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if n > 0 {
			r.broken = 0
			return n, nil // the next call returns the error again
		}
		if err == nil {
			continue
		}
		if r.offset == r.size && errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if r.broken++; r.broken > maxBreaks || r.ctx.Err() != nil {
			return 0, classify(fmt.Errorf("%s: read at byte %d: %w", r.key, r.offset, err))
		}
		_ = r.body.Close()
		if err := r.reopen(); err != nil {
			return 0, err
		}
	}
}

// Close implements [io.Closer].
func (r *reader) Close() error { return r.body.Close() }
