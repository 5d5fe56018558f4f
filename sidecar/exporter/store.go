package exporter

import (
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/journal"
)

// restore opens the journal and queues what an earlier run left in it. Without
// one the lane runs on memory alone.
func (l *lane) restore() {
	if l.config.StorageDir == "" {
		return
	}
	j, err := journal.Open(filepath.Join(l.config.StorageDir, l.signal.String()+".journal"))
	if err != nil {
		l.set.Logger.Warn("storage cannot be used, the queue is in memory alone", zap.Stringer("signal", l.signal), zap.Error(err))
		return
	}
	l.journal = j
	totals, left := j.Replayed()
	l.account.Restore(totals)
	for _, r := range left {
		i := item{id: r.ID, body: r.Body, count: r.Items, since: time.Now()}
		for _, gone := range l.queue.push(i) { // the queue was made smaller since
			l.drop(gone)
		}
	}
	l.set.Logger.Info("queue restored", zap.Stringer("signal", l.signal), zap.Int("requests", len(left)), zap.Int64("unreadable_bytes", j.Cut()))
	l.compact()
}

// record writes an item before its sender is told that it was taken.
func (l *lane) record(i *item) {
	if l.journal == nil {
		return
	}
	id, err := l.journal.Append(i.count, i.body)
	i.id = id
	l.kept(err)
}

// strike writes what became of the items from first to last.
func (l *lane) strike(first, last item, o journal.Outcome) {
	if l.journal != nil {
		l.kept(l.journal.Settle(first.id, last.id, o))
	}
}

// compact rewrites the journal when most of it is settled.
func (l *lane) compact() {
	if l.journal == nil || l.journal.Size() < 2*(l.queue.bytes+l.queue.limit) {
		return
	}
	live := make([]journal.Record, 0, len(l.queue.taken)+len(l.queue.waiting))
	for _, items := range [][]item{l.queue.taken, l.queue.waiting} {
		for _, i := range items {
			live = append(live, journal.Record{ID: i.id, Items: i.count, Body: i.body})
		}
	}
	l.kept(l.journal.Rewrite(live))
}

// kept goes on without the journal once it has failed: half a journal would
// tell the next run what is not so.
func (l *lane) kept(err error) {
	if err == nil {
		return
	}
	l.set.Logger.Warn("storage failed, the queue is in memory alone", zap.Stringer("signal", l.signal), zap.Error(err))
	l.journal.Discard()
	l.journal = nil
}
