package exporter

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// Pauses between attempts double from the first to the last; in a drain there is no
// time for more than the first.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 30 * time.Second
)

// request is what one attempt sends: bodies that are one message together.
type request struct {
	bodies [][]byte
	items  int
	bytes  int
}

func requestOf(batch []item) request {
	r := request{bodies: make([][]byte, len(batch)), items: countItems(batch)}
	for i := range batch {
		r.bodies[i] = batch[i].body
		r.bytes += len(batch[i].body)
	}
	return r
}

// halve cuts a request of several items into two.
func (e *signalExporter) halve(r request) (halves []request) {
	limits := wire.Limits{Items: (r.items + 1) / 2}
	_, _ = wire.Cut(e.signal, bytes.Join(r.bodies, nil), limits, func(half []byte, items int) error {
		halves = append(halves, request{bodies: [][]byte{bytes.Clone(half)}, items: items, bytes: len(half)})
		return nil
	}) // what was encoded here is well formed
	return halves
}

// send delivers a batch until the backend has decided about all of its items, or
// until time is up. A request that the backend calls too large is halved, down to a
// single item, and later batches are made no larger.
func (e *signalExporter) send(batch request) {
	until := time.Now().Add(e.config.RetryLimit)
	var settled ledger.Totals
	for pending := []request{batch}; len(pending) > 0; {
		next := pending[0]
		if next.bytes > e.maxBytes && next.items > 1 {
			pending = append(e.halve(next), pending[1:]...)
			continue
		}
		outcome, result := e.deliver(next, until)
		switch {
		case outcome == interrupted: // Shutdown counts what is left
			e.mu.Lock()
			e.settled = settled
			e.mu.Unlock()
			return
		case outcome == tooLarge && next.items > 1:
			e.takeLess(next.bytes / 2)
			e.notices.warn("too_large", "backend refused a request for its size; it is sent in smaller ones from now on", zap.Int("bytes", next.bytes), zap.Int("max_bytes", e.maxBytes), zap.Error(result.err))
			pending = append(e.halve(next), pending[1:]...)
			continue
		}
		e.settle(&settled, next, outcome, result)
		pending = pending[1:]
	}
	e.ack(settled)
}

// takeLess makes later batches no larger.
func (e *signalExporter) takeLess(bytes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.maxBytes = max(minRequest, bytes)
}

// minRequest is a size that no backend refuses.
const minRequest = 4 << 10

// settle counts what became of one request of a batch.
func (e *signalExporter) settle(settled *ledger.Totals, r request, o outcome, result result) {
	switch o {
	case exported:
		e.stats.ExportBytes(r.bytes)
		rejected := min(result.rejected, r.items)
		settled.Exported += int64(r.items - rejected)
		settled.Dropped[ledger.Rejected] += int64(rejected)
		if result.err != nil {
			e.notices.warn("partial", "backend accepted a batch in part", zap.Int("rejected", rejected), zap.Int("items", r.items), zap.Error(result.err))
		}
	case tooLarge:
		settled.Dropped[ledger.Oversize] += int64(r.items)
		e.notices.warn("oversize", "item dropped: the backend refused it for its size", zap.Int("items", r.items), zap.Int("bytes", r.bytes), zap.Error(result.err))
	case permanent:
		settled.Dropped[ledger.Rejected] += int64(r.items)
		e.notices.warn("rejected "+result.kind, "batch dropped: the backend rejected it", zap.Int("items", r.items), zap.Error(result.err))
	case retryable:
		settled.Dropped[ledger.RetryLimit] += int64(r.items)
		e.notices.warn("retry_limit "+result.kind, "batch dropped: it was tried for as long as the retry limit allows", zap.Int("items", r.items), zap.Duration("retry_limit", e.config.RetryLimit), zap.Error(result.err))
	case interrupted: // Shutdown counts what is left
	}
}

// deliver sends a request until the backend has decided about it, or time is up.
func (e *signalExporter) deliver(r request, until time.Time) (outcome, result) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		result := e.attempt(r)
		if result.outcome != retryable {
			return result.outcome, result
		}
		if e.drain.life.Err() != nil { // an error of its own, which explains nothing
			return interrupted, result
		}
		e.lastErr = result.err
		if !time.Now().Before(until) {
			return retryable, result
		}
		e.notices.warn("retry "+result.kind, "delivery failed; will retry", zap.Int("items", r.items), zap.Error(result.err))
		e.pause(min(max(result.after, jitter(pause)), time.Until(until)))
		e.stats.Retry()
	}
}

func (e *signalExporter) attempt(r request) result {
	ctx, cancel := context.WithTimeout(e.drain.life, e.config.Timeout)
	defer cancel()
	return e.sender.send(ctx, r)
}

// pause waits, but not into a drain.
func (e *signalExporter) pause(d time.Duration) {
	begun := e.drain.begun
	if e.drain.hasBegun() {
		begun, d = nil, min(d, firstPause)
	}
	select {
	case <-time.After(d):
	case <-begun:
	case <-e.drain.life.Done():
	}
}

// ack counts what became of the batch under way, and gives its room in the queue back.
func (e *signalExporter) ack(settled ledger.Totals) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.storage.settle(e.queue.taken, settled)
	e.count(settled)
	e.queue.ack()
	e.stats.SetQueue(e.queue.bytes, e.queue.limit)
	e.storage.maintain(&e.queue)
}

func (e *signalExporter) count(t ledger.Totals) {
	e.stats.Settle(t.Exported, t.Dropped)
}

func total(t ledger.Totals) (items int) {
	items = int(t.Exported)
	for _, n := range t.Dropped {
		items += int(n)
	}
	return items
}

// jitter keeps the pods of a node from sending in step.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d) //nolint:gosec // it only spreads retries
}
