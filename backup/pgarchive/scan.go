package pgarchive

import (
	"errors"
	"fmt"
	"io"
)

const scanBuffer = 256 << 10

// scanner reads src through a buffer. It writes every buffer to dst before it parses it.
// It ends with the first error of either.
type scanner struct {
	src     io.Reader
	dst     io.Writer
	buf     []byte
	at, end int
	total   int64
	failed  error // of src or dst; nil after io.EOF
	done    bool  // src has ended

	intSize, offsetSize int
	version             int // major*100 + minor
}

func newScanner(dst io.Writer, src io.Reader) *scanner {
	return &scanner{src: src, dst: dst, buf: make([]byte, scanBuffer)}
}

// fill reads the next buffer. The current one must have been parsed to its end.
func (s *scanner) fill() error {
	for s.failed == nil && !s.done {
		n, err := s.src.Read(s.buf)
		s.at, s.end = 0, n
		s.total += int64(n)
		s.done = errors.Is(err, io.EOF)
		if err != nil && !s.done {
			s.failed = err
		}
		if _, err := s.dst.Write(s.buf[:n]); err != nil && s.failed == nil {
			s.failed = err
		}
		if n > 0 && s.failed == nil {
			return nil
		}
	}
	if s.failed != nil {
		return s.failed
	}
	return io.EOF
}

// offset returns how many bytes have been read by the parser.
func (s *scanner) offset() int64 { return s.total - int64(s.end-s.at) }

// drain copies the rest of src to dst without parsing it.
func (s *scanner) drain() error {
	for {
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) && s.failed == nil {
				return nil
			}
			return err
		}
	}
}

// byte reads one byte. It returns io.EOF at the end of src.
func (s *scanner) byte() (byte, error) {
	if s.at == s.end {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	s.at++
	return s.buf[s.at-1], nil
}

// next returns from 1 to n bytes. They are valid until the next call.
func (s *scanner) next(n int) ([]byte, error) {
	if s.at == s.end {
		if err := s.fill(); err != nil {
			return nil, formatError(err)
		}
	}
	p := s.buf[s.at:min(s.end, s.at+n)]
	s.at += len(p)
	return p, nil
}

// int reads an integer: a byte for the sign, then intSize bytes in little-endian order.
func (s *scanner) int() (int, error) {
	if w := 1 + s.intSize; s.end-s.at >= w && s.intSize == 4 { // the usual case, once for each row
		p := s.buf[s.at : s.at+5]
		s.at += 5
		v := int(p[1]) | int(p[2])<<8 | int(p[3])<<16 | int(p[4])<<24
		if p[0] != 0 {
			v = -v
		}
		return v, nil
	}
	sign, err := s.byte()
	if err != nil {
		return 0, formatError(err)
	}
	v := 0
	for i := range s.intSize {
		b, err := s.byte()
		if err != nil {
			return 0, formatError(err)
		}
		v |= int(b) << (8 * i)
	}
	if sign != 0 {
		v = -v
	}
	return v, nil
}

// maxText is the largest length of a text, in bytes: PostgreSQL's limit for a value.
const maxText = 1 << 30

// text reads a string. It returns false for null, which has a negative length.
func (s *scanner) text() (string, bool, error) {
	n, err := s.int()
	if err != nil || n < 0 {
		return "", false, err
	}
	if n > maxText {
		return "", false, fmt.Errorf("%w: a string of %d bytes", ErrFormat, n)
	}
	out := make([]byte, 0, min(n, 64<<10))
	for len(out) < n {
		p, err := s.next(n - len(out))
		if err != nil {
			return "", false, err
		}
		out = append(out, p...)
	}
	return string(out), true, nil
}

// formatError replaces io.EOF, which is not expected here, by ErrFormat.
func formatError(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends too early", ErrFormat)
	}
	return err
}
