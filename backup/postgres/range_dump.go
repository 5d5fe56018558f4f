package postgres

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

const (
	// chunkSize is the size of a chunk of the archive, in bytes.
	chunkSize = 256 << 10
	// chunksOfRange is how many chunks of a range wait until the ranges before it are
	// read. A longer range waits for its turn.
	chunksOfRange = 16
	// rangeSize is the size of a range, in bytes of text. It is less than what may wait,
	// so that sessions rarely wait for each other.
	rangeSize = chunksOfRange * chunkSize * 3 / 4
	// firstStep is how many blocks the first ranges have, before it is known how much text
	// a block becomes.
	firstStep = 64
	// maxStep bounds a range of blocks that hold little or nothing: more rows may follow.
	maxStep = 8192
	// lastBlock is above every block of a table.
	lastBlock = 1<<32 - 1
)

// rangeDump is an archive of the data of one table; see [backup.Dump]. Sessions copy ranges
// of blocks at the same time, and Read returns them in the order of the table.
type rangeDump struct {
	ctx      context.Context //nolint:containedctx // io.Reader has no place for it; Close ends it
	cancel   context.CancelFunc
	snapshot *snapshot
	rows     *tableRows
	more     backup.Workers
	first    *pgx.Conn
	warnings []string

	pending []byte // to be returned by Read
	chunk   []byte // that pending is part of
	current *blockRange
	ended   bool

	sessions sync.WaitGroup
	started  bool
	order    chan *blockRange // in the order of the table; closed after the last
	free     chan []byte

	claims sync.Mutex // held while a range is added to order
	next   int64      // block that the next range begins with

	mu      sync.Mutex
	step    int64 // blocks of the next range
	claimed bool  // all ranges are
	lost    error // why one more session could not be opened
}

// blockRange is the rows of the blocks from first up to, but not including, end.
type blockRange struct {
	first, end int64
	chunks     chan []byte
	err        error // once chunks is closed
}

// Read returns io.EOF only after all ranges were copied to their ends.
func (d *rangeDump) Read(p []byte) (int, error) {
	for len(d.pending) == 0 {
		if d.ended {
			return 0, io.EOF
		}
		if err := d.advance(); err != nil {
			return 0, fmt.Errorf("copy %s: %w", d.rows.entry.SQLName(), err)
		}
	}
	n := copy(p, d.pending)
	d.pending = d.pending[n:]
	return n, nil
}

// advance waits for the next chunk.
func (d *rangeDump) advance() error {
	d.recycle()
	d.startSessions()
	if d.current == nil {
		select {
		case next, more := <-d.order:
			if !more {
				d.ended, d.pending = true, pgarchive.EndOfData
				return nil
			}
			d.current = next
		case <-d.ctx.Done():
			return context.Cause(d.ctx)
		}
	}
	chunk, more := <-d.current.chunks
	if !more {
		err := d.current.err
		d.current = nil
		return err
	}
	d.chunk, d.pending = chunk, chunk
	return nil
}

func (d *rangeDump) recycle() {
	if d.chunk == nil {
		return
	}
	select {
	case d.free <- d.chunk:
	default:
	}
	d.chunk = nil
}

// startSessions starts the first session, and others as workers become free.
func (d *rangeDump) startSessions() {
	if !d.started {
		d.started = true
		d.sessions.Go(func() { d.copyRanges(d.first) })
	}
	for d.unclaimed() && d.more.TryAcquire() {
		d.sessions.Go(func() {
			defer d.more.Release(1)
			conn, err := d.snapshot.rangeSession(d.ctx)
			if err != nil {
				d.mu.Lock()
				d.lost = err
				d.mu.Unlock()
				return
			}
			defer closeSession(d.ctx, conn)
			d.copyRanges(conn)
		})
	}
}

// unclaimed reports whether a session more has something to do.
func (d *rangeDump) unclaimed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.claimed && d.lost == nil
}

// copyRanges copies ranges until there is none left, or one fails.
func (d *rangeDump) copyRanges(conn *pgx.Conn) {
	for {
		r := d.claim()
		if r == nil {
			return
		}
		w := &chunkWriter{dump: d, to: r.chunks}
		r.err = copyRange(d.ctx, conn, d.rows.query, r.first, r.end, w)
		if r.err == nil {
			r.err = w.flush()
		}
		d.adapt(r, w.size)
		close(r.chunks)
		if r.err != nil {
			return
		}
	}
}

// claim takes the next range; nil if there is none. The last one has no end: the snapshot
// sees no row in a block that was added later.
func (d *rangeDump) claim() *blockRange {
	d.claims.Lock()
	defer d.claims.Unlock()
	if d.next == lastBlock {
		return nil
	}
	r := &blockRange{first: d.next, end: d.next + d.nextStep(), chunks: make(chan []byte, chunksOfRange)}
	if r.end >= d.rows.blocks {
		r.end = lastBlock
	}
	select {
	case d.order <- r:
	case <-d.ctx.Done():
		return nil
	}
	if d.next = r.end; d.next == lastBlock {
		close(d.order)
		d.mu.Lock()
		d.claimed = true
		d.mu.Unlock()
	}
	return r
}

func (d *rangeDump) nextStep() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.step
}

// adapt sizes the next ranges by the text that this one became.
func (d *rangeDump) adapt(r *blockRange, size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.end != lastBlock {
		blocks := r.end - r.first
		d.step = min(max(1, rangeSize*blocks/max(1, size)), 2*blocks, maxStep)
	}
}

// Close implements [backup.Dump]. It waits for all sessions.
func (d *rangeDump) Close() error {
	d.cancel()
	d.sessions.Wait()
	closeSession(d.ctx, d.first)
	return nil
}

// closeSession closes a session whose result is known.
func closeSession(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

// Warnings implements [backup.Dump].
func (d *rangeDump) Warnings() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost == nil {
		return d.warnings
	}
	return append(d.warnings[:len(d.warnings):len(d.warnings)], fmt.Sprintf("%s was copied by fewer sessions: %v", d.rows.entry.SQLName(), d.lost))
}

// chunkWriter collects rows in chunks of an archive.
type chunkWriter struct {
	dump  *rangeDump
	to    chan<- []byte
	chunk []byte
	size  int64
}

// Write takes one row.
func (w *chunkWriter) Write(row []byte) (int, error) {
	n := len(row)
	w.size += int64(n)
	for len(row) > 0 {
		if w.chunk == nil {
			w.chunk = w.dump.buffer()
		}
		k := min(len(row), cap(w.chunk)-len(w.chunk))
		w.chunk = append(w.chunk, row[:k]...)
		row = row[k:]
		if len(w.chunk) == cap(w.chunk) {
			if err := w.flush(); err != nil {
				return n - len(row), err
			}
		}
	}
	return n, nil
}

// buffer returns an empty chunk behind the room for its header.
func (d *rangeDump) buffer() []byte {
	select {
	case b := <-d.free:
		return b[:pgarchive.ChunkHeader]
	default:
		return make([]byte, pgarchive.ChunkHeader, pgarchive.ChunkHeader+chunkSize)
	}
}

// flush passes the chunk on.
func (w *chunkWriter) flush() error {
	if w.chunk == nil {
		return nil
	}
	pgarchive.PutChunkLength(w.chunk, len(w.chunk)-pgarchive.ChunkHeader)
	select {
	case w.to <- w.chunk:
		w.chunk = nil
		return nil
	case <-w.dump.ctx.Done():
		return context.Cause(w.dump.ctx)
	}
}
