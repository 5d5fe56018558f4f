package fluentbit_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/testing/fakelogs"
)

// lines returns a chunk of lines of a service.
func lines(service string, at time.Time, all ...string) (chunk []byte) {
	for i, line := range all {
		chunk = append(chunk, chunks.Line(at.Add(time.Duration(i)*time.Millisecond), line, chunks.Kubernetes("nova", service, "app", "node-a"))...)
	}
	return chunk
}

func TestOutput_Flush_CreatesGroupsAndStreams(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	o := newOutput(t, s, map[string]string{"retention_days": "7"})
	chunk := append(lines("feed", time.Now(), "a"), chunks.V1(int(time.Now().Unix()), chunks.Map{{"log", "of no pod"}})...)
	if v := o.Flush(chunk, "systemd"); v != fluentbit.OK {
		t.Fatalf("result is %v", v)
	}
	var got []string
	for _, e := range s.Stored() {
		got = append(got, fmt.Sprintf("%s %s, %d days", e.Group, e.Stream, s.Retention(e.Group)))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"/nova/none/none node-a, 7 days", "/nova/nova/feed node-a, 7 days"}, got); diff != "" {
		t.Errorf("stored in (-want +got):\n%s", diff)
	}
	if n := metricSum(o, "novawire_logs_delivered_total", `class="node"`); n != 1 {
		t.Errorf("%d events of no pod", n)
	}
}

// Lines are redacted before they are stored. A chunk that is retried counts once.
func TestOutput_Flush_Redacts(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	o := newOutput(t, s, map[string]string{"redact": "mask preset email; hash key user", "redact_key": "k", "flush_timeout": "1s"})
	chunk := lines("feed", time.Now(), `{"to":"a@b.co","user":"x"}`, "to a@b.co")
	s.InjectFaults(func(int) fakelogs.Fault { return fakelogs.Fault{Refuse: "ServiceUnavailableException"} })
	if v := o.Flush(chunk, "t"); v != fluentbit.Retry {
		t.Fatalf("result is %v", v)
	}
	s.InjectFaults(nil)
	if v := o.Flush(chunk, "t"); v != fluentbit.OK {
		t.Fatalf("result is %v", v)
	}
	for _, e := range s.Stored() {
		if !strings.Contains(e.Message, "[redacted]") || strings.Contains(e.Message, "a@b.co") || strings.Contains(e.Message, `"user":"x"`) {
			t.Errorf("stored %s", e.Message)
		}
	}
	if mails, users := metricSum(o, "novawire_logs_redacted_total", `rule="email"`), metricSum(o, "novawire_logs_redacted_total", `rule="rule-2"`); mails != 2 || users != 1 {
		t.Errorf("counted %d addresses and %d users, want 2 and 1", mails, users)
	}
}

// The plugin sets no retention on a group that it did not create.
func TestOutput_Flush_KeepsRetentionOfExistingGroup(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	s.CreateStream("/nova/nova/feed", "node-b")
	o := newOutput(t, s, nil)
	o.Flush(lines("feed", time.Now(), "a"), "t")
	if len(s.Stored()) != 1 || s.Retention("/nova/nova/feed") != 0 {
		t.Errorf("stored %v, retention %d", s.Stored(), s.Retention("/nova/nova/feed"))
	}
}

// One of the two services of a chunk cannot be delivered: only that one is sent
// again.
func TestOutput_Flush_ResumesRetriedChunk(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	s.CreateStream("/nova/nova/feed", "node-a")
	s.CreateStream("/nova/nova/user", "node-a")
	puts := 0
	s.InjectFaults(func(int) fakelogs.Fault {
		if puts++; puts == 1 {
			return fakelogs.Fault{}
		}
		return fakelogs.Fault{Refuse: "ServiceUnavailableException"}
	})
	o := newOutput(t, s, map[string]string{"flush_timeout": "1s"})
	chunk := append(lines("feed", time.Now(), "f1", "f2"), lines("user", time.Now(), "u1", "u2")...)
	if v := o.Flush(chunk, "t"); v != fluentbit.Retry || len(s.Stored()) != 2 {
		t.Fatalf("result %v, stored %d", v, len(s.Stored()))
	}
	s.InjectFaults(nil)
	if v := o.Flush(chunk, "t"); v != fluentbit.OK {
		t.Fatalf("result is %v", v)
	}
	if n := len(s.Stored()); n != 4 {
		t.Errorf("%d events are stored of 4", n)
	}
	for metric, want := range map[string]int{"accepted": 4, "delivered": 4, "resumed": 2, "resent": 0, "chunks": 2, "chunks_retried": 1} {
		if got := metricSum(o, "novawire_logs_"+metric+"_total"); got != want {
			t.Errorf("%s is %d, want %d", metric, got, want)
		}
	}
	if o.Flush(chunk, "t"); len(s.Stored()) != 8 {
		t.Errorf("an equal chunk that comes later is one of its own: %d are stored", len(s.Stored()))
	}
}

func TestOutput_Flush_CountsRejectedEvents(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	s.CreateStream("/nova/nova/feed", "node-a")
	s.SetRetention("/nova/nova/feed", 3)
	o := newOutput(t, s, nil)
	now := time.Now()
	var chunk []byte
	for _, at := range []time.Duration{0, -20 * 24 * time.Hour, 3 * time.Hour, -5 * 24 * time.Hour, -time.Hour, -15 * 24 * time.Hour} {
		chunk = append(chunk, lines("feed", now.Add(at), fmt.Sprint(at))...)
	}
	if v := o.Flush(chunk, "t"); v != fluentbit.OK {
		t.Fatalf("result is %v", v)
	}
	got := map[string]int{"delivered": metricSum(o, "novawire_logs_delivered_total")}
	for _, reason := range []string{"too_old", "expired", "too_new"} {
		got[reason] = metricSum(o, "novawire_logs_rejected_total", `reason="`+reason+`"`)
	}
	if diff := cmp.Diff(map[string]int{"delivered": 2, "too_old": 2, "expired": 1, "too_new": 1}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"too_old": 2, "expired": 1, "too_new": 1}, s.Rejected()); diff != "" {
		t.Errorf("the service rejected (-want +got):\n%s", diff)
	}
	if r := s.Violations(); len(r) > 0 {
		t.Errorf("a request broke a rule of the service: %s", r)
	}
}

// A message that is too long is divided, and a chunk that is too large takes
// several requests, all within the service's limits.
func TestOutput_Flush_LargeChunks(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	o := newOutput(t, s, map[string]string{"request_timeout": "20s"}) // a slow machine takes longer than 500 ms
	now := time.Now()
	big := []string{strings.Repeat("x", 1_500_000), strings.Repeat("é\"\\", 400_000), `{"message":"` + strings.Repeat("y", 999_000) + `"}`}
	for range 300 {
		big = append(big, strings.Repeat("z", 7000))
	}
	if v := o.Flush(lines("feed", now, big...), "t"); v != fluentbit.OK {
		t.Fatalf("result is %v", v)
	}
	total := 0
	for _, e := range s.Stored() {
		total += strings.Count(e.Message, "x") + strings.Count(e.Message, "z")
	}
	if want := 1_500_000 + 300*7000; total < want || total > want+2000 {
		t.Errorf("%d bytes are stored of %d", total, want)
	}
	if r := s.Violations(); len(r) > 0 {
		t.Errorf("a request broke a rule of the service: %s", r)
	}
	small := strings.Split(strings.Repeat("s,", 25_000), ",")[:25_000]
	before := s.Calls("PutLogEvents")
	if v := o.Flush(lines("feed", now, small...), "t"); v != fluentbit.OK || len(s.Violations()) > 0 {
		t.Errorf("result is %v, refused %v", v, s.Violations())
	}
	if n := s.Calls("PutLogEvents") - before; n > 5 {
		t.Errorf("25,000 short lines took %d requests", n)
	}
}

// The counts of a minute are one document for each service, however often the
// lines were sent.
func TestOutput_Counts_OneDocumentPerService(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	s.InjectFaults(func(put int) fakelogs.Fault {
		return map[int]fakelogs.Fault{1: {LoseResponse: true}, 2: {Refuse: "ThrottlingException"}}[put]
	})
	o := newOutput(t, s, nil)
	chunk := append(
		lines("feed", time.Now(), `{"level":"ERROR","fields":{"message":"m","http.response.status_code":503}}`, `{"level":"ERROR","fields":{"message":"redis timed out"}}`, `{"level":"INFO","status":200}`),
		lines("user", time.Now(), `{"level":"WARN","fields":{"rpc.grpc.status_code":14}}`, `{"fields":{"monotonic_counter.http_server_errors_total":4}}`)...,
	)
	for o.Flush(chunk, "t") != fluentbit.OK {
	}
	o.Close()
	var got []string
	stamp := regexp.MustCompile(`"Timestamp":\d+`)
	for _, e := range s.Stored() {
		if strings.HasPrefix(e.Stream, "metrics/") {
			got = append(got, e.Group+" "+e.Stream+" "+stamp.ReplaceAllString(e.Message, `"Timestamp":0`))
		}
	}
	slices.Sort(got)
	header := `{"_aws":{"Timestamp":0,"CloudWatchMetrics":[{"Namespace":"Nova/Logs","Dimensions":[["Namespace","Service"]],"Metrics":[` +
		`{"Name":"http_server_errors_total","Unit":"Count"},{"Name":"grpc_client_errors_total","Unit":"Count"},{"Name":"redis_timeout_total","Unit":"Count"},{"Name":"error_lines_total","Unit":"Count"}]}]},`
	want := []string{
		`/nova/nova/feed metrics/node-a ` + header + `"Namespace":"nova","Service":"feed","Node":"node-a","http_server_errors_total":1,"grpc_client_errors_total":0,"redis_timeout_total":1,"error_lines_total":2}`,
		`/nova/nova/user metrics/node-a ` + header + `"Namespace":"nova","Service":"user","Node":"node-a","http_server_errors_total":4,"grpc_client_errors_total":1,"redis_timeout_total":0,"error_lines_total":0}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	if n := metricSum(o, "novawire_logs_delivered_total", `class="metrics"`); n != 2 {
		t.Errorf("%d documents are counted", n)
	}
}

// Close leaves no goroutine, returns a result for chunks under way and does not
// wait for a service that does not respond.
func TestOutput_Close(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	s.CreateStream("/nova/nova/feed", "node-a")
	s.InjectFaults(func(int) fakelogs.Fault { return fakelogs.Fault{Delay: time.Hour} })
	o := newOutput(t, s, map[string]string{"request_timeout": "60s", "flush_timeout": "60s"})
	results := make(chan fluentbit.Result, 40)
	for i := range cap(results) { // more than there are workers
		go func() { results <- o.Submit(lines("feed", time.Now(), fmt.Sprint(i)), []byte("t")) }()
	}
	for deadline := time.Now().Add(10 * time.Second); s.Calls("PutLogEvents") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no request came")
		}
	}
	closed := make(chan struct{})
	go func() {
		o.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the output did not end")
	}
	for range cap(results) {
		if v := <-results; v != fluentbit.Retry {
			t.Errorf("result is %v", v)
		}
	}
}

func TestOutput_Flush_EmptyChunk(t *testing.T) {
	if v := newOutput(t, startService(t, fakelogs.Options{}), nil).Flush(nil, "t"); v != fluentbit.OK {
		t.Errorf("result is %v", v)
	}
}

// panickingService panics in every call.
type panickingService struct{ delivery.Service }

func TestOutput_Submit_Panic(t *testing.T) {
	c, err := parse(map[string]string{"region": "eu-west-1", "metric_namespace": "none"})
	if err != nil {
		t.Fatal(err)
	}
	for name, now := range map[string]func() time.Time{"in a request": time.Now, "before it": func() time.Time { panic("no time") }} {
		t.Run(name, func(t *testing.T) {
			var reported atomic.Int64
			o := fluentbit.New(c, fluentbit.Settings{
				Service: panickingService{}, Clock: delivery.Clock{Now: now, Wait: clock.Wait}, Limiter: delivery.NewRateLimiter(),
				OnError: func(error) { reported.Add(1) },
			})
			defer o.Close()
			if v := o.Submit(lines("feed", chunks.Noon, "a"), []byte("t")); v != fluentbit.Retry || reported.Load() == 0 {
				t.Errorf("result %v, %d reported", v, reported.Load())
			}
		})
	}
}

// recordingService keeps entries and fails on demand.
type recordingService struct {
	away atomic.Bool

	mu      sync.Mutex
	entries []string
}

func (r *recordingService) Put(_ context.Context, _, stream string, entries [][]byte) (delivery.Rejected, error) {
	if r.away.Load() {
		return delivery.Rejected{}, errors.New("away")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		r.entries = append(r.entries, stream+" "+string(e))
	}
	return delivery.Rejected{}, nil
}

func (*recordingService) CreateGroup(context.Context, string) error          { return nil }
func (*recordingService) CreateStream(context.Context, string, string) error { return nil }
func (*recordingService) SetRetention(context.Context, string, int) error    { return nil }

// The document of a minute waits until the service responds and keeps its time. A
// minute without counts has no document.
func TestOutput_Counts_OneDocumentPerMinute(t *testing.T) {
	c, err := parse(map[string]string{"region": "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := &recordingService{}
		o := fluentbit.New(c, fluentbit.Settings{
			Service: r, Clock: delivery.Clock{Now: time.Now, Wait: clock.Wait}, Limiter: delivery.NewRateLimiter(), OnError: func(error) {},
		})
		start := time.Now().Truncate(time.Minute)
		for range 3 { // one document of three chunks
			o.Flush(lines("feed", time.Now(), `{"level":"ERROR"}`), "t")
		}
		time.Sleep(3 * time.Minute)
		o.Flush(lines("feed", time.Now(), `{"level":"ERROR"}`), "t")
		r.away.Store(true)
		time.Sleep(5 * time.Minute)
		r.away.Store(false)
		time.Sleep(2 * time.Minute)
		o.Close()
		var got []string
		for _, e := range r.entries {
			if at, message, ok := strings.Cut(e, `,"message":`); ok && strings.HasPrefix(e, "metrics/") {
				_, count, _ := strings.Cut(message, `error_lines_total\":`)
				got = append(got, at+" "+count)
			}
		}
		want := []string{
			fmt.Sprintf(`metrics/node-a {"timestamp":%d 3}"}`, start.UnixMilli()),
			fmt.Sprintf(`metrics/node-a {"timestamp":%d 1}"}`, start.Add(3*time.Minute).UnixMilli()),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("documents (-want +got):\n%s", diff)
		}
	})
}
