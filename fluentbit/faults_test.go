package fluentbit_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/cloudwatchlogs"
	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/testing/fakelogs"
)

var clock = delivery.Clock{Now: time.Now, Wait: func(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}}

func startService(t testing.TB, o fakelogs.Options) *fakelogs.Server {
	t.Helper()
	o.Region, o.AccessKey, o.SecretKey = "eu-west-1", "id", "secret"
	s, err := fakelogs.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// newOutput returns an output that is connected to the service. Its pauses are
// short: the tests check what happens, not how long it takes.
func newOutput(t testing.TB, s *fakelogs.Server, keys map[string]string) *fluentbit.Output {
	t.Helper()
	all := map[string]string{"region": "eu-west-1", "endpoint": s.URL(), "node": "node-a", "flush_timeout": "20s", "request_timeout": "500ms"}
	maps.Copy(all, keys)
	c, err := fluentbit.ParseConfig(func(key string) string { return all[key] })
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	quick := clock
	deadlines := []time.Duration{c.FlushTimeout, 2 * time.Second} // the latter is an ending's
	quick.Wait = func(ctx context.Context, d time.Duration) error {
		if d <= 5*time.Second && !slices.Contains(deadlines, d) {
			d = min(d, 20*time.Millisecond)
		}
		return clock.Wait(ctx, d)
	}
	o := fluentbit.New(c, fluentbit.Settings{
		Service: &cloudwatchlogs.Client{
			Endpoint: c.Endpoint, Region: c.Region, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
			HTTP: &http.Client{Transport: transport}, Timeout: c.RequestTimeout, Now: time.Now,
		},
		Clock: quick, Limiter: delivery.NewRateLimiter(), OnError: func(err error) { t.Log(err) },
	})
	t.Cleanup(func() {
		o.Close()
		transport.CloseIdleConnections()
	})
	return o
}

// chunkSource flushes chunks as Fluent Bit does: several at once, and again until
// the result is OK.
type chunkSource struct {
	output *fluentbit.Output
	sent   map[string]int // messages by their identity
	chunks [][]byte
}

const (
	chunksPerSource = 24
	linesPerChunk   = 120
)

// newChunkSource makes chunks of three services. Each line has an id.
func newChunkSource(o *fluentbit.Output) *chunkSource {
	h, now := &chunkSource{output: o, sent: map[string]int{}}, time.Now()
	for c := range chunksPerSource {
		var chunk []byte
		for l := range linesPerChunk {
			id := fmt.Sprintf("%d/%d", c, l)
			h.sent[id]++
			// Two services in one chunk, and times that go to and fro.
			at := now.Add(time.Duration((l*7)%13-c) * time.Second)
			service := []string{"user-service", "content-service", "feed"}[(c+l/40)%3]
			line := fmt.Sprintf(`{"level":"INFO","fields":{"message":"m","id":%q},"target":"t"}`, id)
			chunk = append(chunk, chunks.Line(at, line, chunks.Kubernetes("nova", service, "app", "node-a"))...)
		}
		h.chunks = append(h.chunks, chunk)
	}
	return h
}

// deliverAll returns when the result of every chunk was OK.
func (h *chunkSource) deliverAll(t testing.TB, workers int) {
	t.Helper()
	var bringing sync.WaitGroup
	queue := make(chan []byte, len(h.chunks))
	for _, c := range h.chunks {
		queue <- c
	}
	close(queue)
	for range workers {
		bringing.Go(func() {
			for chunk := range queue {
				for deadline := time.Now().Add(time.Minute); h.output.Submit(chunk, []byte("kube.x")) != fluentbit.OK; {
					if time.Now().After(deadline) {
						t.Error("a chunk was not done after a minute")
						return
					}
				}
			}
		})
	}
	bringing.Wait()
}

// metricSum returns the sum of an output's series with the labels.
func metricSum(o *fluentbit.Output, name string, labels ...string) (sum int) {
	var text strings.Builder
	fluentbit.WriteMetrics(&text, []*fluentbit.Output{o})
lines:
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, name+"{") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(line, label) {
				continue lines
			}
		}
		var value float64
		_, _ = fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &value)
		sum += int(value)
	}
	return sum
}

// storedByID counts the stored events by id.
func storedByID(t testing.TB, s *fakelogs.Server) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, e := range s.Stored() {
		var message struct {
			Fields struct {
				ID string `json:"id"`
			} `json:"fields"`
		}
		if err := json.Unmarshal([]byte(e.Message), &message); err != nil {
			t.Fatalf("stored %q: %v", e.Message, err)
		}
		all[message.Fields.ID]++
	}
	return all
}

// For every fault of the service, each event that was sent is stored or counted,
// and stored twice only if a response was lost, which is counted too.
func TestOutput_Faults(t *testing.T) {
	every := func(n int, f fakelogs.Fault) func(int) fakelogs.Fault {
		return func(put int) fakelogs.Fault {
			if put%n == n-1 {
				return f
			}
			return fakelogs.Fault{}
		}
	}
	first := func(n int, f fakelogs.Fault) func(int) fakelogs.Fault {
		return func(put int) fakelogs.Fault {
			if put < n {
				return f
			}
			return fakelogs.Fault{}
		}
	}
	cases := map[string]struct {
		fault  func(int) fakelogs.Fault
		rate   float64
		keys   map[string]string
		shows  string // a metric that must not be 0
		unsure bool   // whether it may look as if an answer was lost
	}{
		"is well":                         {},
		"throttles now and then":          {fault: every(3, fakelogs.Fault{Refuse: "ThrottlingException"}), shows: "novawire_logs_throttled_total"},
		"throttles the account":           {rate: 6, shows: "novawire_logs_throttled_total"},
		"is unavailable":                  {fault: every(2, fakelogs.Fault{Refuse: "ServiceUnavailableException"}), shows: "novawire_logs_retried_total"},
		"resets connections":              {fault: every(3, fakelogs.Fault{Reset: true}), shows: "novawire_logs_resent_total", unsure: true},
		"stores and loses the answer":     {fault: every(3, fakelogs.Fault{LoseResponse: true}), shows: "novawire_logs_resent_total", unsure: true},
		"stores and is silent":            {fault: every(5, fakelogs.Fault{Hang: true}), shows: "novawire_logs_resent_total", unsure: true},
		"fails inside":                    {fault: every(3, fakelogs.Fault{Refuse: "InternalFailure"}), shows: "novawire_logs_resent_total", unsure: true},
		"loses the group":                 {fault: every(4, fakelogs.Fault{DeleteGroup: true}), shows: "novawire_logs_retried_total"},
		"loses the stream":                {fault: every(4, fakelogs.Fault{DeleteStream: true}), shows: "novawire_logs_retried_total"},
		"denies access for a while":       {fault: first(5, fakelogs.Fault{Refuse: "AccessDeniedException"}), shows: "novawire_logs_retried_total"},
		"does not know the key":           {fault: first(5, fakelogs.Fault{Refuse: "ExpiredTokenException"}), shows: "novawire_logs_retried_total"},
		"is slow":                         {fault: every(1, fakelogs.Fault{Delay: 50 * time.Millisecond})},
		"is away for longer than a chunk": {fault: first(400, fakelogs.Fault{Refuse: "ServiceUnavailableException"}), keys: map[string]string{"flush_timeout": "1s"}, shows: "novawire_logs_chunks_retried_total"},
		"fails in all ways": {fault: func(put int) fakelogs.Fault {
			return []fakelogs.Fault{{}, {Refuse: "ThrottlingException"}, {LoseResponse: true}, {}, {DeleteGroup: true}, {Reset: true}, {}, {DeleteStream: true}}[put%8]
		}, shows: "novawire_logs_resent_total", unsure: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startService(t, fakelogs.Options{Rate: c.rate})
			s.InjectFaults(c.fault)
			h := newChunkSource(newOutput(t, s, c.keys))
			h.deliverAll(t, 4)
			h.checkStored(t, s)
			if c.shows != "" && metricSum(h.output, c.shows) == 0 {
				t.Errorf("%s is 0", c.shows)
			}
			if n := metricSum(h.output, "novawire_logs_resent_total"); n > 0 && !c.unsure {
				t.Errorf("%d events were sent again though no answer was lost", n)
			}
		})
	}
}

// checkStored compares what was sent with what the service stored and what the
// output counted.
func (h *chunkSource) checkStored(t *testing.T, s *fakelogs.Server) {
	t.Helper()
	stored, twice := storedByID(t, s), 0
	for id := range h.sent {
		if stored[id] == 0 {
			t.Errorf("%s was not stored", id)
		}
		twice += max(0, stored[id]-1)
	}
	if len(stored) != len(h.sent) {
		t.Errorf("%d events are stored, %d were sent", len(stored), len(h.sent))
	}
	if twice != s.LostResponses() {
		t.Errorf("%d are stored twice, %d answers were lost", twice, s.LostResponses())
	}
	if resent := metricSum(h.output, "novawire_logs_resent_total"); twice > resent {
		t.Errorf("%d are stored twice, %d are counted as sent again", twice, resent)
	}
	for metric, want := range map[string]int{"novawire_logs_accepted_total": len(h.sent), "novawire_logs_delivered_total": len(h.sent), "novawire_logs_rejected_total": 0} {
		if got := metricSum(h.output, metric, `class="pods"`); got != want {
			t.Errorf("%s is %d, want %d", metric, got, want)
		}
	}
	for _, r := range s.Violations() {
		t.Errorf("a request broke a rule of the service: %s", r)
	}
}
