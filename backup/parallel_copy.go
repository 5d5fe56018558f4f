package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/nova/novawire/backup/pgarchive"
)

// deal loads the rest of a table by the dealer's own session and by as many
// others as find a slot; one slot is taken already.
func (d *dealer) deal(ctx context.Context, e pgarchive.Entry, carry []byte, rows io.Reader) (int64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := newRound(cap(d.slots), stop)
	var all sync.WaitGroup
	play := func(session Loader) error {
		n, err := session.Copy(ctx, e, false, &player{round: r})
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
			r.end(err)
		})
	}
	all.Go(func() { r.end(play(d.session)) })
	help()
	r.end(r.deal(ctx, carry, rows, func() {
		if d.worthHelp() && d.spare() {
			help()
		}
	}))
	close(r.hands)
	all.Wait()
	return r.loaded.Load(), r.failure()
}

// round is one table's rows on their way to several sessions. Rows are dealt
// whole: no session gets a part of one.
type round struct {
	hands  chan hand
	free   chan []byte // buffers, nil ones are made when they are needed
	stop   func()
	loaded atomic.Int64
	mu     sync.Mutex
	err    error // the first
}

// hand is what a session is dealt at a time: whole rows, or the beginning of one
// that is longer than a buffer and goes on in more.
type hand struct {
	rows []byte
	more chan []byte
}

func newRound(players int, stop func()) *round {
	r := &round{hands: make(chan hand), free: make(chan []byte, 2*players+2), stop: stop}
	for range cap(r.free) {
		r.free <- nil
	}
	return r
}

// end notes how one of those who take part ended; the first failure ends all.
func (r *round) end(err error) {
	if err != nil {
		r.mu.Lock()
		if r.err == nil {
			r.err = err
		}
		r.mu.Unlock()
		r.stop()
	}
}

func (r *round) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// deal cuts the rows into hands; each is called after every one of them.
func (r *round) deal(ctx context.Context, carry []byte, rows io.Reader, each func()) error {
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
		if more, err = r.hand(ctx, dealt[:end], partOfRow, more); err != nil {
			return err
		}
		each()
	}
	return nil
}

// hand gives rows to the session that has the beginning of the first, if one
// has, else to whichever takes them. It returns where a row that goes on does so.
func (r *round) hand(ctx context.Context, rows []byte, goesOn bool, more chan []byte) (chan []byte, error) {
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
	case r.hands <- hand{rows, more}:
		return more, nil
	case <-ctx.Done():
		return more, ctx.Err()
	}
}

func (r *round) buffer(ctx context.Context) ([]byte, error) {
	select {
	case buffer := <-r.free:
		if buffer == nil {
			buffer = make([]byte, handSize)
		}
		return buffer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// player reads what a session is dealt.
type player struct {
	*round
	buffer, left []byte
	more         chan []byte
}

func (p *player) Read(to []byte) (int, error) {
	for len(p.left) == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n := copy(to, p.left)
	p.left = p.left[n:]
	return n, nil
}

func (p *player) next() error {
	if p.buffer != nil {
		p.free <- p.buffer[:cap(p.buffer)] // never waits: it came from there
		p.buffer = nil
	}
	if p.more != nil {
		rows, on := <-p.more
		if on {
			p.buffer, p.left = rows, rows
			return nil
		}
		p.more = nil
	}
	h, on := <-p.hands
	if !on {
		if err := p.failure(); err != nil {
			return err // and not an end, after which the session would commit
		}
		return io.EOF
	}
	p.buffer, p.left, p.more = h.rows, h.rows, h.more
	return nil
}
