package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonStream reads one JSON document token by token, so that memory holds one
// element of a long list at a time, and not the whole document.
type jsonStream struct{ *json.Decoder }

// object calls field for each key of the object that comes next. field reads the value.
func (d jsonStream) object(field func(key string) error) error {
	return d.group('{', '}', func() error {
		token, err := d.Token()
		if err != nil {
			return unexpectedEnd(err)
		}
		key, _ := token.(string)
		return field(key)
	})
}

// array calls element for each element of the array that comes next. element reads it.
func (d jsonStream) array(element func() error) error { return d.group('[', ']', element) }

func (d jsonStream) group(open, end json.Delim, each func() error) error {
	token, err := d.Token()
	switch {
	case err != nil:
		return unexpectedEnd(err)
	case token == nil: // null
		return nil
	case token != open:
		return fmt.Errorf("found %v instead of %v", token, open)
	}
	for d.More() {
		if err := each(); err != nil {
			return err
		}
	}
	token, err = d.Token()
	if err == nil && token != end {
		err = fmt.Errorf("found %v instead of %v", token, end)
	}
	return unexpectedEnd(err)
}

// maxValueBytes bounds a value that is decoded as a whole.
const maxValueBytes = 4 << 20

// value decodes the value that comes next.
func (d jsonStream) value(into any) error {
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return unexpectedEnd(err)
	}
	if len(raw) > maxValueBytes {
		return fmt.Errorf("%w: %d bytes in one value", errTooLarge, len(raw))
	}
	return json.Unmarshal(raw, into)
}

// skip reads the value that comes next and drops it, without keeping it in memory.
func (d jsonStream) skip() error {
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return unexpectedEnd(err)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// end returns an error if anything but white space follows.
func (d jsonStream) end() error {
	if token, err := d.Token(); !errors.Is(err, io.EOF) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%v follows after the end", token)
	}
	return nil
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// limitedReader reads at most a number of bytes and remembers why it failed: an
// error of the store is not an error in the document.
type limitedReader struct {
	from io.Reader
	left int64
	err  error
}

var errTooLarge = errors.New("it is too large")

func (r *limitedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		n, err := io.ReadFull(r.from, make([]byte, 1))
		if n > 0 {
			err = errTooLarge
		}
		return 0, r.failed(err)
	}
	n, err := r.from.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, r.failed(err)
}

func (r *limitedReader) failed(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return err
}
