package exporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/nova/novawire/sidecar/wire"
)

// chance is a sender and a backend that do what they like.
type chance struct {
	*rand.Rand // of the sender
	backend    *rand.Rand
	largest    int            // request that the backend takes, in bytes
	accepted   int64          // by the exporter
	taken      map[string]int // by the backend: how often, by the name of the span
	rejected   int64          // of those
}

// request has spans with names of their own, and sizes and surroundings of all kinds.
func (c *chance) request() wire.Request {
	td := ptrace.NewTraces()
	for range 1 + c.IntN(4) {
		r := td.ResourceSpans().AppendEmpty()
		r.Resource().Attributes().PutStr("k", strings.Repeat("r", c.IntN(1+c.IntN(600))))
		for range c.IntN(3) {
			s := r.ScopeSpans().AppendEmpty()
			s.Scope().SetName(strings.Repeat("s", c.IntN(100)))
			for range c.IntN(12) {
				span := s.Spans().AppendEmpty()
				span.SetName(fmt.Sprint(c.accepted))
				span.TraceState().FromRaw(strings.Repeat("x", c.IntN(1+c.IntN(1+c.IntN(1500)))))
				c.accepted++
			}
		}
	}
	body, _ := new(ptrace.ProtoMarshaler).MarshalTraces(td)
	return wire.Request{Body: body, Items: td.SpanCount()}
}

func (c *chance) answer(t *testing.T, r request) result {
	td, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(bytes.Join(r.bodies, nil))
	if err != nil || td.SpanCount() != r.items {
		t.Errorf("a request of %d items has %d: %v", r.items, td.SpanCount(), err)
	}
	failure := result{kind: "failure", err: errors.New("failure")}
	switch n := c.backend.IntN(20); {
	case r.bytes > c.largest:
		failure.outcome = tooLarge
		return failure
	case n < 4:
		failure.outcome = retryable
		return failure
	case n == 4:
		failure.outcome = permanent
		return failure
	case n == 5:
		failure.rejected = 2
		c.rejected += int64(min(2, r.items))
	default:
		failure = result{}
	}
	for _, r := range td.ResourceSpans().All() {
		if r.Resource().Attributes().Len() != 1 {
			t.Error("a resource lost its attribute")
		}
		for _, s := range r.ScopeSpans().All() {
			for _, span := range s.Spans().All() {
				c.taken[span.Name()]++
			}
		}
	}
	return failure
}

// Whatever is sent and whatever the backend answers: each item is exported, dropped or
// stored, and what is counted as exported is what the backend took.
func TestExporter_AccountsForEachItem(t *testing.T) {
	const seeds, runs = 40, 3
	for seed := range uint64(seeds) {
		c := &chance{Rand: rand.New(rand.NewPCG(seed, 1)), backend: rand.New(rand.NewPCG(seed, 2)), taken: map[string]int{}}
		c.largest = 300 + c.IntN(3000)
		dir, stored, exported := t.TempDir(), seed%2 == 0, int64(0)
		for run := range runs {
			change := func(config *Config) {
				config.QueueBytes = int64(5000 + c.IntN(20_000))
				config.Batch = wire.Limits{Bytes: 1000 + c.IntN(2500), Items: 1 + c.IntN(40), ItemBytes: c.IntN(2) * 900}
				config.RetryLimit, config.DrainTimeout = time.Duration(c.IntN(10))*time.Second, time.Duration(c.IntN(3))*time.Second
				if stored {
					config.StorageDir = dir
				}
			}
			answer := func(_ context.Context, _ int, r request) result { return c.answer(t, r) }
			inTime(t, change, answer, func(t *testing.T, e *timed) {
				e.signalExporter.mu.Lock()
				e.restore()
				e.signalExporter.mu.Unlock()
				before := c.accepted
				for range 1 + c.IntN(20) {
					r := c.request()
					e.stats.Accept(r.Items, len(r.Body))
					if err := e.enqueue(r); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(c.IntN(1000)) * time.Millisecond)
				}
				_ = e.Shutdown(t.Context())
				entry := e.entry()
				if stored {
					before, exported = 0, 0 // the ledger goes on
				}
				exported += entry.Exported
				if entry.Balance() != 0 || entry.Accepted != c.accepted-before {
					t.Errorf("seed %d, run %d: sent %d items; the ledger has %+v", seed, run, c.accepted-before, entry)
				}
			})
		}
		if took := int64(len(c.taken)) - c.rejected; exported > int64(len(c.taken)) || !stored && exported != took {
			t.Errorf("seed %d: exported are %d, the backend took %d and rejected %d", seed, exported, len(c.taken), c.rejected)
		}
		for name, times := range c.taken {
			if times > 1 && !stored { // a batch that was interrupted is sent again by the next run
				t.Errorf("seed %d: the backend took span %s %d times", seed, name, times)
			}
		}
	}
}
