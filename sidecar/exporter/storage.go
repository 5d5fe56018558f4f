package exporter

import (
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/journal"
	"github.com/nova/novawire/sidecar/ledger"
)

// storageRetry is how often a journal that cannot be written is tried again.
const storageRetry = 5 * time.Second

// storage keeps the queue of one signal in a journal. While the journal cannot be
// written, as on a full disk, new items are in memory alone; what is in the journal
// stays there. It is guarded by the exporter's lock.
type storage struct {
	logger  *zap.Logger
	journal *journal.Journal // nil: the queue is in memory alone
	failed  time.Time        // of the last write that failed; zero: the journal is whole
	limit   int64            // of the queue, in bytes
}

// restore opens the journal and queues what an earlier run left in it.
func (e *signalExporter) restore() {
	if e.config.StorageDir == "" {
		return
	}
	path := filepath.Join(e.config.StorageDir, e.signal.String()+".journal")
	j, err := journal.Open(path)
	if err != nil {
		e.storage.logger.Warn("storage cannot be used; the queue is in memory alone", zap.String("path", path), zap.Error(err))
		return
	}
	totals, left := j.Replayed()
	e.storage.journal, e.storage.limit = j, e.config.QueueBytes
	e.stats.Restore(totals)
	for _, r := range left {
		i := item{id: r.ID, body: r.Body, count: r.Items, since: time.Now()}
		for _, dropped := range e.queue.push(i) { // the queue was made smaller since
			e.dropOldest(dropped)
		}
	}
	if damage := j.Damage(); damage.Records > 0 {
		e.storage.logger.Warn("storage is damaged; what could not be read is lost", zap.String("path", path), zap.Int("records", damage.Records), zap.Int64("bytes", damage.Bytes))
		e.storage.rewrite(&e.queue)
	}
	e.storage.logger.Info("queue restored", zap.Int("requests", len(left)), zap.Int64("unfinished_bytes", j.Cut()))
	e.storage.maintain(&e.queue)
}

// append writes an item before its sender is told that it was accepted, and returns
// its number in the journal; 0: it is in memory alone.
func (s *storage) append(items int, body []byte) (id uint64) {
	if s.journal == nil {
		return 0
	}
	if !s.failed.IsZero() {
		s.journal.Accept(items)
		return 0
	}
	id, err := s.journal.Append(items, body)
	if err != nil {
		s.fail(err)
		return 0
	}
	return id
}

// settle writes what became of consecutive items.
func (s *storage) settle(batch []item, t ledger.Totals) {
	if s.journal == nil {
		return
	}
	first, last := uint64(1), uint64(0) // none
	for _, i := range batch {
		if i.id != 0 {
			if last == 0 {
				first = i.id
			}
			last = i.id
		}
	}
	if err := s.journal.Settle(first, last, t); err != nil {
		s.fail(err)
	}
}

// note writes the outcome of items that never were in the journal.
func (s *storage) note(t ledger.Totals) {
	if s.journal == nil {
		return
	}
	if err := s.journal.Note(t); err != nil {
		s.fail(err)
	}
}

func (s *storage) fail(err error) {
	if s.failed.IsZero() {
		s.logger.Warn("storage cannot be written; new items are in memory alone until it can", zap.Duration("retry_interval", storageRetry), zap.Error(err))
		s.failed = time.Now()
	}
}

// maintain rewrites the journal when most of it is settled, and tries again what
// could not be written. So the file has at most twice the bytes of the queue, and
// three times while it is rewritten.
func (s *storage) maintain(q *queue) {
	if s.journal == nil {
		return
	}
	if !s.failed.IsZero() {
		if time.Since(s.failed) >= storageRetry {
			s.rewrite(q)
		}
		return
	}
	if s.journal.Size() > 2*s.limit {
		s.rewrite(q)
	}
}

// rewrite replaces the journal by one that holds what is in the queue.
func (s *storage) rewrite(q *queue) {
	var live []journal.Record
	for i := range q.all {
		live = append(live, journal.Record{Items: i.count, Body: i.body})
	}
	first, err := s.journal.Rewrite(live)
	if err != nil {
		s.fail(err)
		s.failed = time.Now()
		return
	}
	for i := range q.all {
		i.id = first
		first++
	}
	if !s.failed.IsZero() {
		s.logger.Info("storage can be written again", zap.Int("requests", len(live)))
		s.failed = time.Time{}
	}
}

// close writes what could not be written before, if it can be by now. It returns how
// many items are stored for the next run, and how many are left without a place.
func (s *storage) close(q *queue) (stored, left int) {
	if s.journal != nil && !s.failed.IsZero() {
		s.rewrite(q)
	}
	for i := range q.all {
		if s.journal != nil && i.id != 0 {
			stored += i.count
		} else {
			left += i.count
		}
	}
	if s.journal != nil {
		if left > 0 {
			_ = s.journal.Settle(1, 0, dropped(ledger.Shutdown, left))
		}
		_ = s.journal.Close() // every record was written when it was made
	}
	return stored, left
}
