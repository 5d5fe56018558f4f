package exporter

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/journal"
	"github.com/nova/novawire/sidecar/ledger"
)

// Pauses between tries double from the first to the last; in a drain there is
// no time for more than the shortest.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 30 * time.Second
)

// deliver tries a batch until the backend has decided, or time is up.
func (l *lane) deliver(batch []item) {
	until := time.Now().Add(l.config.RetryLimit)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		o := l.try(batch)
		switch {
		case o.verdict == exported:
			l.settle(batch, journal.Outcome{Exported: true, Items: total(batch), Rejected: min(o.rejected, total(batch))})
			return
		case o.verdict == permanent:
			l.settle(batch, journal.Outcome{Dropped: ledger.Rejected, Items: total(batch)})
		case l.drain.life.Err() != nil:
			return // what is left is for Shutdown to account for
		case !time.Now().Before(until):
			l.settle(batch, journal.Outcome{Dropped: ledger.RetryLimit, Items: total(batch)})
		default:
			l.pause(min(max(o.after, jitter(pause)), time.Until(until)))
			l.account.Retry()
			continue
		}
		l.set.Logger.Warn("batch dropped", zap.Stringer("signal", l.signal), zap.Int("items", total(batch)), zap.Error(o.err))
		return
	}
}

func (l *lane) try(batch []item) outcome {
	ctx, cancel := context.WithTimeout(l.drain.life, l.config.Timeout)
	defer cancel()
	return l.sender.send(ctx, batch)
}

// pause waits, but not into a drain.
func (l *lane) pause(d time.Duration) {
	begun := l.drain.begun
	if l.drain.hasBegun() {
		begun, d = nil, min(d, firstPause)
	}
	select {
	case <-time.After(d):
	case <-begun:
	case <-l.drain.life.Done():
	}
}

// settle books what became of a batch, and makes room.
func (l *lane) settle(batch []item, o journal.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strike(batch[0], batch[len(batch)-1], o)
	if o.Exported {
		l.account.Export(o.Items - o.Rejected)
		l.account.Drop(ledger.Rejected, o.Rejected)
	} else {
		l.account.Drop(o.Dropped, o.Items)
	}
	l.queue.settle()
	l.account.Queue(l.queue.bytes, l.queue.limit)
	l.compact()
}

func total(batch []item) (items int) {
	for _, i := range batch {
		items += i.count
	}
	return items
}

// jitter keeps the pods of a node from asking in step.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}
