package pgarchive

import (
	"errors"
	"fmt"
	"io"
)

const scanBuffer = 256 << 10

// scanner reads src through a buffer and writes every buffer to dst before it
// looks into it. The first error of either ends it.
type scanner struct {
	src     io.Reader
	dst     io.Writer
	buf     []byte
	at, end int
	total   int64
	failed  error // of src or dst; nil after io.EOF
	done    bool  // src is at its end

	intSize, offsetSize int
	version             int // major*100 + minor
}

func newScanner(dst io.Writer, src io.Reader) *scanner {
	return &scanner{src: src, dst: dst, buf: make([]byte, scanBuffer)}
}

// fill gets more bytes, once those at hand are used up.
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

// drain passes on what is left.
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

// byte reads one; io.EOF at the end.
func (s *scanner) byte() (byte, error) {
	if s.at == s.end {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	s.at++
	return s.buf[s.at-1], nil
}

// next returns up to n bytes, at least one; they are good until the next call.
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

// int reads an integer: a byte for the sign, then intSize bytes, the lowest first.
func (s *scanner) int() (int, error) {
	if w := 1 + s.intSize; s.end-s.at >= w && s.intSize == 4 { // the common case, once per row
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

// maxText bounds a definition: PostgreSQL's own limit on a value is 1 GB.
const maxText = 1 << 30

// text reads a string; a length below zero is SQL's null.
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

// formatError turns an end in the middle of something into ErrFormat.
func formatError(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends too early", ErrFormat)
	}
	return err
}
