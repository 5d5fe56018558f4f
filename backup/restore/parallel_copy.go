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

// copyInParallel loads the rest of a table by the reader's own session and by as many
// others as find a slot; one slot is taken already.
func (d *streamLoader) copyInParallel(ctx context.Context, e pgarchive.Entry, carry []byte, rows io.Reader) (int64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := newParallelCopy(cap(d.workers), stop)
	var all sync.WaitGroup
	play := func(session backup.Loader) error {
		n, err := session.Copy(ctx, e, false, &batchReader{parallelCopy: r})
		r.loaded.Add(n)
		return err
	}
	help := func() {
		all.Go(func() {
			defer d.release(1)
			session, err := d.target.Load(ctx, d.into, d.settings)
			if err == nil {
				err = errors.Join(play(session), session.Close(context.WithoutCancel(ctx)))
			}
			r.workerEnded(err)
		})
	}
	all.Go(func() { r.workerEnded(play(d.session)) })
	help()
	r.workerEnded(r.distribute(ctx, carry, rows, func() {
		if d.worthAnotherWorker() && d.tryAcquire() {
			help()
		}
	}))
	close(r.batches)
	all.Wait()
	return r.loaded.Load(), r.firstError()
}

// parallelCopy is one table's rows on their way to several sessions. Rows are dealt
// whole: no session gets a part of one.
type parallelCopy struct {
	batches chan batch
	free    chan []byte // buffers, nil ones are made when they are needed
	stop    func()
	loaded  atomic.Int64
	mu      sync.Mutex
	err     error // the first
}

// batch is what a session is dealt at a time: whole rows, or the beginning of one
// that is longer than a buffer and goes on in more.
type batch struct {
	rows         []byte
	continuation chan []byte
}

func newParallelCopy(players int, stop func()) *parallelCopy {
	r := &parallelCopy{batches: make(chan batch), free: make(chan []byte, 2*players+2), stop: stop}
	for range cap(r.free) {
		r.free <- nil
	}
	return r
}

// workerEnded notes how one of those who take part ended; the first failure ends all.
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

// distribute cuts the rows into hands; each is called after every one of them.
func (r *parallelCopy) distribute(ctx context.Context, carry []byte, rows io.Reader, each func()) error {
	var more chan []byte // to the session that has a part of a row
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
		dealt := buffer[:n+k]
		end := bytes.LastIndexByte(dealt, '\n') + 1
		partOfRow := end == 0 && !ended
		if partOfRow || ended {
			end = len(dealt)
		}
		carry = bytes.Clone(dealt[end:])
		if more, err = r.send(ctx, dealt[:end], partOfRow, more); err != nil {
			return err
		}
		each()
	}
	return nil
}

// send gives rows to the session that has the beginning of the first, if one
// has, else to whichever takes them. It returns where a row that goes on does so.
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

// batchReader reads what a session is dealt.
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
		p.free <- p.buffer[:cap(p.buffer)] // never waits: it came from there
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
			return err // and not an end, after which the session would commit
		}
		return io.EOF
	}
	p.buffer, p.unread, p.continuation = h.rows, h.rows, h.continuation
	return nil
}
