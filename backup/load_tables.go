package backup

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/nova/novawire/backup/pgarchive"
)

const (
	// small is up to where a table is loaded just so, in bytes.
	small = 64 << 10
	// worthHelp is how much of a table must have been loaded, and how much must be
	// left of its stream, before another session is opened for it, in bytes.
	worthHelp = 16 << 20
	// handSize is how much a session is dealt at a time, in bytes.
	handSize = 256 << 10
)

// dealer loads the tables of one stream. A table belongs to one session as long
// as the others have work of their own: that one can write it in the cheapest
// way. When a slot is free, the rest of the rows is dealt to several.
type dealer struct {
	*loading
	target  Target
	from    *counter
	bytes   int64 // of the stream
	all     bool  // entries are of another archive than those that were chosen from
	session Loader
}

// take is asked by [archive.Divert].
func (d *dealer) take(ctx context.Context, e pgarchive.Entry) func(io.Reader) error {
	switch {
	case !rowsOf(e):
		return nil
	case !d.all && !d.isChosen(e):
		return func(io.Reader) error { return nil }
	}
	return func(rows io.Reader) error {
		n, err := d.table(ctx, e, rows)
		if err != nil {
			return err
		}
		return d.mustBe(e, n)
	}
}

func (d *dealer) table(ctx context.Context, e pgarchive.Entry, from io.Reader) (loaded int64, err error) {
	if d.session == nil {
		if d.session, err = d.target.Load(ctx, d.into, d.settings); err != nil {
			return 0, err
		}
	}
	rows := &remember{from: from}
	defer func() {
		if rows.err != nil { // the session only knows that it was told of an error
			err = DamagedArchive(rows.err)
		}
	}()
	begin := make([]byte, small)
	n, err := fill(begin, rows)
	if errors.Is(err, io.EOF) {
		return d.session.Copy(ctx, e, false, bytes.NewReader(begin[:n]))
	}
	if err != nil {
		return 0, err
	}
	gate := &gate{begin: begin[:n], rows: rows, help: func() bool { return d.worthHelp() && d.spare() }}
	loaded, err = d.session.Copy(ctx, e, d.isFresh(e), gate)
	if !gate.shut {
		if gate.helped { // too late
			d.release(1)
		}
		return loaded, err
	}
	if err != nil {
		d.release(1)
		return 0, err
	}
	more, err := d.deal(ctx, e, gate.carry, rows)
	return loaded + more, err
}

func (d *dealer) worthHelp() bool { return d.bytes-d.from.n > worthHelp }

func (d *dealer) close(ctx context.Context) error {
	if d.session == nil {
		return nil
	}
	return d.session.Close(context.WithoutCancel(ctx))
}

// fill reads until the buffer is full but for what rows cannot be read into.
func fill(p []byte, rows io.Reader) (n int, err error) {
	for err == nil && len(p)-n >= pgarchive.LeastRead {
		var k int
		k, err = rows.Read(p[n:])
		n += k
	}
	return n, err
}

// gate passes the rows of a table on, until there is help: then it is shut at
// the end of a row.
type gate struct {
	begin  []byte
	rows   io.Reader
	help   func() bool
	passed int
	helped bool
	shut   bool
	carry  []byte // of the row after the last
}

func (g *gate) Read(p []byte) (int, error) {
	if g.shut {
		return 0, io.EOF
	}
	if len(g.begin) > 0 {
		n := copy(p, g.begin)
		g.begin = g.begin[n:]
		return n, nil
	}
	n, err := g.rows.Read(p[:min(len(p), small)]) // what is carried over fits into a hand
	if err != nil {
		return n, err
	}
	g.passed += n
	if g.passed > worthHelp && !g.helped {
		g.helped = g.help()
	}
	if end := bytes.LastIndexByte(p[:n], '\n') + 1; g.helped && end > 0 {
		g.shut, g.carry = true, bytes.Clone(p[end:n])
		return end, nil
	}
	return n, nil
}
