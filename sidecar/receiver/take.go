package receiver

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// partial is the part of an accepted request that was not taken.
type partial struct {
	rejected int
	reason   string
}

// take hands a request to the pipeline, in pieces where it is large.
func (s *server) take(ctx context.Context, signal ledger.Signal, body []byte, e encoding) (partial, error) {
	select {
	case s.working <- struct{}{}:
		defer func() { <-s.working }()
	case <-ctx.Done():
		return partial{}, ctx.Err()
	}
	var err error
	if e == jsonText {
		if body, err = s.fromJSON(signal, body); err != nil {
			return partial{}, err
		}
	}
	sum, err := wire.Scan(signal, body)
	if err != nil {
		return partial{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	limits := s.config.Piece
	if sum.InvalidText {
		limits.Bytes, limits.ItemBytes = limits.Bytes/repairGrowth, limits.ItemBytes/repairGrowth
	}
	r := s.redactor()
	defer s.release(r)
	if limits.Allow(len(body), sum) {
		if request, ok := s.prepare(r, signal, body, sum.Items, sum, limits); ok {
			err := s.consume(ctx, signal, request, false)
			s.refuse(signal, sum.Items, err)
			return partial{}, err
		}
	}
	limits.Share = pieceShare
	return s.takePieces(ctx, signal, body, sum, limits, r)
}

// pieceShare makes the pieces of a large request a quarter of what one request may be:
// beside the request there is little memory. The exporter puts them together again.
const pieceShare = 4

// repairGrowth is by how much a repair may make text longer: U+FFFD has three bytes.
// Pieces are repaired, not whole requests, because a repair copies.
const repairGrowth = 3

func repaired(signal ledger.Signal, body []byte, sum wire.Summary) []byte {
	if sum.InvalidText {
		return wire.Repair(signal, body)
	}
	return body
}

// takePieces hands a large request to the pipeline piece by piece. Once a piece is
// taken the request cannot be refused as a whole any more: the sender would repeat
// what was taken. What cannot be taken then is refused as a part.
func (s *server) takePieces(ctx context.Context, signal ledger.Signal, body []byte, sum wire.Summary, limits wire.Limits, r *wire.Redactor) (p partial, err error) {
	taken, patient, tooLarge := false, true, 0
	room := time.Now().Add(roomWait)
	var deliver func(piece []byte, items int) error
	deliver = func(piece []byte, items int) error {
		if taken && int64(len(body)) > s.stats.Counters(signal).QueueLimit() {
			s.awaitRoom(ctx, signal, len(piece), room)
		}
		request, ok := s.prepare(r, signal, piece, items, sum, limits)
		if !ok && items > 1 {
			// It has grown beyond the limits: half of the items may have room for it.
			half := limits
			half.Items = (items + 1) / 2
			left, err := wire.Cut(signal, piece, half, deliver)
			tooLarge += left
			return err
		} else if !ok {
			tooLarge++
			return nil
		}
		err := s.consume(ctx, signal, request, taken && patient)
		switch {
		case err == nil:
			taken = true
		case !taken:
			return err
		default:
			patient = false
			s.refuse(signal, items, err)
			p.rejected += items
			p.reason = err.Error()
		}
		return nil
	}
	oversize, err := wire.Cut(signal, body, limits, deliver)
	if err != nil {
		s.refuse(signal, sum.Items, err)
		return partial{}, err
	}
	if oversize += tooLarge; oversize > 0 {
		s.stats.Counters(signal).Refuse(ledger.TooLarge, oversize)
		p.rejected += oversize
		p.reason = fmt.Sprintf("items larger than %d bytes cannot be delivered to the backend", itemLimit(limits))
	}
	return p, nil
}

// A request that is larger than the queue waits for the queue to empty: in all, and
// while the backend takes nothing.
const (
	roomWait  = 2 * time.Second
	stallWait = 200 * time.Millisecond
)

// awaitRoom waits until the queue has room for a piece: otherwise the later pieces of a
// request that is larger than the queue would push out its earlier ones.
func (s *server) awaitRoom(ctx context.Context, signal ledger.Signal, size int, until time.Time) {
	stats := s.stats.Counters(signal)
	for last, since := stats.Room(), time.Now(); last < int64(size)+roomMargin; {
		if now := time.Now(); now.After(until) || now.Sub(since) > stallWait {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return
		}
		if room := stats.Room(); room != last {
			last, since = room, time.Now()
		}
	}
}

// roomMargin is for what a piece grows by: the attributes of its resources.
const roomMargin = 64 << 10

// A request waits once for the memory limiter's next look, and not soon again where
// another waited in vain.
const (
	memoryWait = 1200 * time.Millisecond
	waitAgain  = 10 * time.Second
)

func (s *server) waited() time.Time { return time.Unix(0, s.lastWait.Load()) }

// consume hands a request to the pipeline, and counts what it takes. A patient call waits
// once where memory is short.
func (s *server) consume(ctx context.Context, signal ledger.Signal, r ready, patient bool) error {
	next, handed := s.consumers[signal], wire.NewContext(ctx, r.Request)
	err := next(handed)
	if err != nil && patient && !consumererror.IsPermanent(err) && time.Since(s.waited()) > waitAgain {
		runtime.GC() // what was cut before is garbage that the limiter counts
		select {
		case <-time.After(memoryWait):
			s.lastWait.Store(time.Now().UnixNano())
			err = next(handed)
		case <-ctx.Done():
		}
	}
	if err == nil {
		if r.redacted != nil {
			s.stats.Counters(signal).Redact(*r.redacted)
		}
		s.stats.Counters(signal).Accept(r.Items, len(r.Body))
	}
	return err
}

// refuse counts items that were not taken. A request that is not OTLP is counted as a
// request.
func (s *server) refuse(signal ledger.Signal, items int, err error) {
	switch {
	case err == nil, errors.Is(err, errMalformed):
	case consumererror.IsPermanent(err):
		s.stats.Counters(signal).Refuse(ledger.Failure, items)
	default: // the memory limiter, which keeps its error to itself
		s.stats.Counters(signal).Refuse(ledger.Memory, items)
	}
}

func itemLimit(limits wire.Limits) int {
	if limits.ItemBytes > 0 {
		return limits.ItemBytes
	}
	return limits.Bytes
}

// refusalOf returns how the ledger counts a request that was not taken; false: its
// items were counted where it was refused.
func refusalOf(err error) (ledger.BadRequest, bool) {
	switch {
	case errors.Is(err, errMalformed):
		return ledger.Malformed, true
	case errors.Is(err, errTooBig):
		return ledger.TooBig, true
	case errors.Is(err, errEncoding), errors.Is(err, errContentType), errors.Is(err, errGRPCType):
		return ledger.Unsupported, true
	case errors.Is(err, errBusy):
		return ledger.Busy, true
	case errors.Is(err, errBody), errors.Is(err, context.DeadlineExceeded):
		return ledger.Incomplete, true
	}
	return 0, false
}
