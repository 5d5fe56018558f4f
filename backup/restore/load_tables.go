package restore

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

const (
	// smallTable is up to where a table is loaded just so, in bytes.
	smallTable = 64 << 10
	// parallelThreshold is how much of a table must have been loaded, and how much must be
	// left of its stream, before another session is opened for it, in bytes.
	parallelThreshold = 16 << 20
	// batchSize is how much a session is dealt at a time, in bytes.
	batchSize = 256 << 10
)

// streamLoader loads the tables of one stream. A table belongs to one session as long
// as the others have work of their own: that one can write it in the cheapest
// way. When a slot is free, the rest of the rows is dealt to several.
type streamLoader struct {
	*dataRestore
	target  backup.Target
	from    *countingReader
	bytes   int64 // of the stream
	loadAll bool  // entries are of another archive than those that were chosen from
	session backup.Loader
}

// rowsHandler is asked by [archive.Divert].
func (d *streamLoader) rowsHandler(ctx context.Context, e pgarchive.Entry) func(io.Reader) error {
	switch {
	case !isTableData(e):
		return nil
	case !d.loadAll && !d.isChosen(e):
		return func(io.Reader) error { return nil }
	}
	return func(rows io.Reader) error {
		n, err := d.loadTable(ctx, e, rows)
		if err != nil {
			return err
		}
		return d.checkRows(e, n)
	}
}

func (d *streamLoader) loadTable(ctx context.Context, e pgarchive.Entry, from io.Reader) (loaded int64, err error) {
	if d.session == nil {
		if d.session, err = d.target.Load(ctx, d.into, d.settings); err != nil {
			return 0, err
		}
	}
	rows := &errorRecorder{from: from}
	defer func() {
		if rows.err != nil { // the session only knows that it was told of an error
			err = backup.DamagedArchive(rows.err)
		}
	}()
	begin := make([]byte, smallTable)
	n, err := fill(begin, rows)
	if errors.Is(err, io.EOF) {
		return d.session.Copy(ctx, e, false, bytes.NewReader(begin[:n]))
	}
	if err != nil {
		return 0, err
	}
	gate := &rowSplitter{prefix: begin[:n], rows: rows, addWorker: func() bool { return d.worthAnotherWorker() && d.tryAcquire() }}
	loaded, err = d.session.Copy(ctx, e, d.isFresh(e), gate)
	if !gate.stopped {
		if gate.workerAdded { // too late
			d.release(1)
		}
		return loaded, err
	}
	if err != nil {
		d.release(1)
		return 0, err
	}
	more, err := d.copyInParallel(ctx, e, gate.remainder, rows)
	return loaded + more, err
}

func (d *streamLoader) worthAnotherWorker() bool { return d.bytes-d.from.n > parallelThreshold }

func (d *streamLoader) close(ctx context.Context) error {
	if d.session == nil {
		return nil
	}
	return d.session.Close(context.WithoutCancel(ctx))
}

// fill reads until the buffer is full but for what rows cannot be read into.
func fill(p []byte, rows io.Reader) (n int, err error) {
	for err == nil && len(p)-n >= pgarchive.MinRead {
		var k int
		k, err = rows.Read(p[n:])
		n += k
	}
	return n, err
}

// rowSplitter passes the rows of a table on, until there is help: then it is shut at
// the end of a row.
type rowSplitter struct {
	prefix      []byte
	rows        io.Reader
	addWorker   func() bool
	passed      int
	workerAdded bool
	stopped     bool
	remainder   []byte // of the row after the last
}

func (g *rowSplitter) Read(p []byte) (int, error) {
	if g.stopped {
		return 0, io.EOF
	}
	if len(g.prefix) > 0 {
		n := copy(p, g.prefix)
		g.prefix = g.prefix[n:]
		return n, nil
	}
	n, err := g.rows.Read(p[:min(len(p), smallTable)]) // what is carried over fits into a hand
	if err != nil {
		return n, err
	}
	g.passed += n
	if g.passed > parallelThreshold && !g.workerAdded {
		g.workerAdded = g.addWorker()
	}
	if end := bytes.LastIndexByte(p[:n], '\n') + 1; g.workerAdded && end > 0 {
		g.stopped, g.remainder = true, bytes.Clone(p[end:n])
		return end, nil
	}
	return n, nil
}
