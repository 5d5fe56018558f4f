package restore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// copyInParallel loads the rest of a table with the loader's own session and with more
// workers as they become free. The caller has acquired the first of them.
func (d *streamLoader) copyInParallel(ctx context.Context, e pgarchive.Entry, carry []byte, rows io.Reader) (int64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := newParallelCopy(cap(d.workers), stop)
	var all sync.WaitGroup
	copyBatches := func(session backup.Loader) error {
		n, err := session.Copy(ctx, e, false, &batchReader{parallelCopy: r})
		r.loaded.Add(n)
		return err
	}
	addWorker := func() {
		all.Go(func() {
			defer d.workers.Release(1)
			session, err := d.target.Load(ctx, d.into, d.settings)
			if err == nil {
				err = errors.Join(copyBatches(session), session.Close(context.WithoutCancel(ctx)))
			}
			r.workerEnded(err)
		})
	}
	all.Go(func() { r.workerEnded(copyBatches(d.session)) })
	addWorker()
	r.workerEnded(r.distribute(ctx, carry, rows, func() {
		if d.worthAnotherWorker() && d.workers.TryAcquire() {
			addWorker()
		}
	}))
	close(r.batches)
	all.Wait()
	return r.loaded.Load(), r.firstError()
}

// parallelCopy distributes the rows of one table to several sessions, in batches of whole
// rows: no session gets a part of a row.
type parallelCopy struct {
	batches chan batch
	free    chan []byte // buffers; a nil one is allocated when it is needed
	stop    func()
	loaded  atomic.Int64
	mu      sync.Mutex
	err     error // the first
}

// batch is whole rows for one session, or the beginning of a row that is longer than a
// buffer and continues in further buffers.
type batch struct {
	rows         []byte
	continuation chan []byte
}

func newParallelCopy(workers int, stop func()) *parallelCopy {
	r := &parallelCopy{batches: make(chan batch), free: make(chan []byte, 2*workers+2), stop: stop}
	for range cap(r.free) {
		r.free <- nil
	}
	return r
}

// workerEnded records how a worker ended. The first failure stops all of them.
func (r *parallelCopy) workerEnded(err error) {
	if err != nil {
		r.mu.Lock()
		if r.err == nil {
			r.err = err
		}
		r.mu.Unlock()
		r.stop()
	}
}

func (r *parallelCopy) firstError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// distribute cuts the rows into batches, and calls each after every batch.
func (r *parallelCopy) distribute(ctx context.Context, carry []byte, rows io.Reader, each func()) error {
	var more chan []byte // to the session that has the beginning of a row
	defer func() {
		if more != nil {
			close(more)
		}
	}()
	for ended := false; !ended; {
		buffer, err := r.buffer(ctx)
		if err != nil {
			return err
		}
		n := copy(buffer, carry)
		k, err := fill(buffer[n:], rows)
		if ended = errors.Is(err, io.EOF); err != nil && !ended {
			return err
		}
		filled := buffer[:n+k]
		end := bytes.LastIndexByte(filled, '\n') + 1
		partOfRow := end == 0 && !ended
		if partOfRow || ended {
			end = len(filled)
		}
		carry = bytes.Clone(filled[end:])
		if more, err = r.send(ctx, filled[:end], partOfRow, more); err != nil {
			return err
		}
		each()
	}
	return nil
}

// send passes rows to the session that has the beginning of the first row, if there is
// one, else to the next free session. It returns the channel on which a row continues.
func (r *parallelCopy) send(ctx context.Context, rows []byte, goesOn bool, more chan []byte) (chan []byte, error) {
	if more != nil {
		select {
		case more <- rows:
		case <-ctx.Done():
			return more, ctx.Err()
		}
		if !goesOn {
			close(more)
			more = nil
		}
		return more, nil
	}
	if goesOn {
		more = make(chan []byte)
	}
	select {
	case r.batches <- batch{rows, more}:
		return more, nil
	case <-ctx.Done():
		return more, ctx.Err()
	}
}

func (r *parallelCopy) buffer(ctx context.Context) ([]byte, error) {
	select {
	case buffer := <-r.free:
		if buffer == nil {
			buffer = make([]byte, batchSize)
		}
		return buffer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// batchReader reads the batches of one session.
type batchReader struct {
	*parallelCopy
	buffer, unread []byte
	continuation   chan []byte
}

func (p *batchReader) Read(to []byte) (int, error) {
	for len(p.unread) == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n := copy(to, p.unread)
	p.unread = p.unread[n:]
	return n, nil
}

func (p *batchReader) next() error {
	if p.buffer != nil {
		p.free <- p.buffer[:cap(p.buffer)] // never blocks: the buffer came from there
		p.buffer = nil
	}
	if p.continuation != nil {
		rows, on := <-p.continuation
		if on {
			p.buffer, p.unread = rows, rows
			return nil
		}
		p.continuation = nil
	}
	h, on := <-p.batches
	if !on {
		if err := p.firstError(); err != nil {
			return err // not io.EOF, after which the session would commit
		}
		return io.EOF
	}
	p.buffer, p.unread, p.continuation = h.rows, h.rows, h.continuation
	return nil
}
