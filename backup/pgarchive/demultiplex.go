package pgarchive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Demultiplex reads an archive. For the rows of each table it calls handle, and passes the
// rows to the function that handle returns. The head, and every block for which handle
// returns nil, is written to rest. The result is an archive without the handled rows, from
// which pg_restore can restore everything else.
//
// The rows have COPY's text format, without the end-of-data mark. The function need not
// read all of them.
func Demultiplex(rest io.Writer, src io.Reader, handle func(Entry) func(rows io.Reader) error) error {
	var head headBuffer
	s := newScanner(&head, src)
	entries, err := readHead(s)
	if err == nil {
		s.dst = io.Discard
		d := demultiplexer{s: s, rest: rest, entries: map[int]Entry{}, handle: handle}
		for _, e := range entries {
			d.entries[e.ID] = e
			if e.HasData {
				d.expected++
			}
		}
		if _, err = rest.Write(head[:len(head)-(s.end-s.at)]); err == nil {
			err = d.blocks()
		}
	}
	if s.failed != nil { // the cause, not what the parser made of it
		err = s.failed
	}
	return err
}

type demultiplexer struct {
	s       *scanner
	rest    io.Writer
	entries map[int]Entry
	handle  func(Entry) func(io.Reader) error

	expected int // blocks
}

func (d *demultiplexer) blocks() error {
	for seen := 0; ; seen++ {
		kind, err := d.s.byte()
		if errors.Is(err, io.EOF) && d.s.failed == nil {
			if seen != d.expected {
				return fmt.Errorf("%w: %d of %d data blocks", ErrFormat, seen, d.expected)
			}
			return nil
		}
		if err != nil {
			return err
		}
		id, err := d.s.int()
		if err != nil {
			return err
		}
		e, known := d.entries[id]
		if !known || kind != blockData && kind != blockBlob {
			return fmt.Errorf("%w: block of kind %d for entry %d", ErrFormat, kind, id)
		}
		if err := d.block(kind, e); err != nil {
			return err
		}
	}
}

func (d *demultiplexer) block(kind byte, e Entry) error {
	if kind == blockData && e.Kind == "TABLE DATA" {
		if to := d.handle(e); to != nil {
			rows := &rowReader{s: d.s}
			if err := to(rows); err != nil {
				return err
			}
			return rows.skip()
		}
	}
	if err := d.pass([]byte{kind}); err != nil {
		return err
	}
	if err := d.passInt(e.ID); err != nil {
		return err
	}
	if kind == blockData {
		return d.passChunks()
	}
	for {
		oid, err := d.s.int()
		if err == nil {
			err = d.passInt(oid)
		}
		if err == nil && oid != 0 {
			err = d.passChunks()
		}
		if err != nil || oid == 0 {
			return err
		}
	}
}

func (d *demultiplexer) pass(p []byte) error {
	_, err := d.rest.Write(p)
	return err
}

func (d *demultiplexer) passInt(v int) error { return d.pass(appendInt(nil, v)) }

func (d *demultiplexer) passChunks() error {
	for {
		n, err := d.s.int()
		if err == nil && n < 0 {
			err = fmt.Errorf("%w: a chunk of %d bytes", ErrFormat, n)
		}
		if err == nil {
			err = d.passInt(n)
		}
		if err != nil || n == 0 {
			return err
		}
		for n > 0 {
			p, err := d.s.next(n)
			if err != nil {
				return err
			}
			n -= len(p)
			if err := d.pass(p); err != nil {
				return err
			}
		}
	}
}

// endOfRows ends the rows of a table. psql needs it; COPY's protocol does not.
const endOfRows = "\\.\n\n\n"

// MinRead is the smallest buffer, in bytes, that rows can be read into.
const MinRead = 2 * len(endOfRows)

// rowReader reads the rows of one block without endOfRows. It keeps back as many bytes as
// that has, so that no part of it is returned.
type rowReader struct {
	s     *scanner
	left  int // of the chunk
	ended bool
	held  []byte
}

func (r *rowReader) Read(p []byte) (int, error) {
	if len(p) < MinRead {
		return 0, io.ErrShortBuffer
	}
	n := copy(p, r.held)
	r.held = r.held[:0]
	for n < len(p) && !r.ended {
		more, err := r.next(len(p) - n)
		if err != nil {
			return 0, err
		}
		n += copy(p[n:], more)
	}
	if r.ended {
		n = len(bytes.TrimSuffix(p[:n], []byte(endOfRows)))
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	n -= len(endOfRows)
	r.held = append(r.held, p[n:n+len(endOfRows)]...)
	return n, nil
}

// next returns at most n bytes of the block, and none at its end.
func (r *rowReader) next(n int) ([]byte, error) {
	if r.left == 0 {
		var err error
		if r.left, err = r.s.int(); err != nil {
			return nil, err
		}
		if r.left < 0 {
			return nil, fmt.Errorf("%w: a chunk of %d bytes", ErrFormat, r.left)
		}
		if r.left == 0 {
			r.ended = true
			return nil, nil
		}
	}
	p, err := r.s.next(min(n, r.left))
	r.left -= len(p)
	return p, err
}

// skip reads the rest of the block.
func (r *rowReader) skip() error {
	for !r.ended {
		if _, err := r.next(scanBuffer); err != nil {
			return err
		}
	}
	return nil
}
