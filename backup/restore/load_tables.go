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
	// smallTable is the largest table, in bytes, that is copied by a single session
	// without freezing its rows.
	smallTable = 64 << 10
	// parallelThreshold is how many bytes of a table must have been loaded, and how many
	// must be left of its stream, before another worker is added.
	parallelThreshold = 16 << 20
	// batchSize is the size of a batch of rows, in bytes.
	batchSize = 256 << 10
)

// streamLoader loads the tables of one stream. One session loads a table while all other
// workers are busy, because it alone can write the rows frozen. When a worker becomes
// free, the remaining rows are copied in parallel.
type streamLoader struct {
	*dataRestore
	target  backup.Target
	from    *countingReader
	bytes   int64 // of the stream
	loadAll bool  // the stream is an archive of its own, so that entry numbers do not select
	session backup.Loader
}

// rowsHandler returns the function that loads the rows of an entry, for
// [pgarchive.Demultiplex].
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
		if rows.err != nil { // the session reports only that its reader failed
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
	splitter := &rowSplitter{prefix: begin[:n], rows: rows, addWorker: func() bool { return d.worthAnotherWorker() && d.workers.TryAcquire() }}
	loaded, err = d.session.Copy(ctx, e, d.isFresh(e), splitter)
	if !splitter.stopped {
		if splitter.workerAdded { // after the last row
			d.workers.Release(1)
		}
		return loaded, err
	}
	if err != nil {
		d.workers.Release(1)
		return 0, err
	}
	more, err := d.copyInParallel(ctx, e, splitter.remainder, rows)
	return loaded + more, err
}

func (d *streamLoader) worthAnotherWorker() bool { return d.bytes-d.from.n > parallelThreshold }

func (d *streamLoader) close(ctx context.Context) error {
	if d.session == nil {
		return nil
	}
	return d.session.Close(context.WithoutCancel(ctx))
}

// fill reads until the buffer has no room for another read of rows.
func fill(p []byte, rows io.Reader) (n int, err error) {
	for err == nil && len(p)-n >= pgarchive.MinRead {
		var k int
		k, err = rows.Read(p[n:])
		n += k
	}
	return n, err
}

// rowSplitter passes on the rows of a table until another worker is free. Then it ends
// after a whole row and keeps the beginning of the next.
type rowSplitter struct {
	prefix      []byte
	rows        io.Reader
	addWorker   func() bool
	passed      int
	workerAdded bool
	stopped     bool
	remainder   []byte // the beginning of the next row
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
	n, err := g.rows.Read(p[:min(len(p), smallTable)]) // the remainder fits into a batch
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
