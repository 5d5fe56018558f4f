package sidecar_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// container is the memory that a sidecar is sized for.
const container = 64 << 20

func message(number protowire.Number, content ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(content, nil))
}

// repeated is content that is repeated to the size of a request.
func repeated(content []byte, size int) []byte { return bytes.Repeat(content, size/len(content)) }

// nestedValue is a list in a list, and so on.
func nestedValue(depth int) []byte {
	var heads [][]byte // from the inside: each holds the length of those before it
	size := uint64(0)
	for range depth {
		for _, number := range []protowire.Number{1, 5} { // ArrayValue.values, AnyValue.array_value
			head := protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.BytesType), size)
			heads = append(heads, head)
			size += uint64(len(head))
		}
	}
	slices.Reverse(heads)
	return bytes.Join(heads, nil)
}

// bomb is a request that is small and would take much memory if it were decoded, or were
// handled as a whole.
type bomb struct {
	signal, kind string
	body         []byte
}

func bombs() map[string]bomb {
	span := func(fields ...[]byte) []byte { return message(1, message(2, message(2, fields...))) }
	all := map[string]bomb{
		"empty spans":            {"traces", protobufType, message(1, message(2, repeated([]byte{0x12, 0}, 800_000)))},
		"4 MB of empty spans":    {"traces", protobufType, message(1, message(2, repeated([]byte{0x12, 0}, 4<<20)))},
		"small log records":      {"logs", protobufType, message(1, message(2, repeated(message(2, message(5, message(1, []byte("twenty bytes of text")))), 4<<20)))},
		"empty data points":      {"metrics", protobufType, message(1, message(2, message(2, message(5, repeated([]byte{0x0a, 0}, 4<<20)))))},
		"empty metrics":          {"metrics", protobufType, message(1, message(2, repeated([]byte{0x12, 0}, 4<<20)))},
		"empty resources":        {"traces", protobufType, repeated([]byte{0x0a, 0}, 4<<20)},
		"resources that grow":    {"traces", protobufType, repeated(message(1, message(2, message(2))), 4<<20)},
		"empty scopes":           {"traces", protobufType, message(1, repeated([]byte{0x12, 0}, 4<<20))},
		"a large resource":       {"traces", protobufType, message(1, message(1, message(1, message(1, make([]byte, 900_000)))), message(2, repeated([]byte{0x12, 0}, 4<<20)))},
		"empty attributes":       {"traces", protobufType, span(repeated([]byte{0x4a, 0}, 4<<20))},
		"attributes of resource": {"traces", protobufType, message(1, message(1, repeated([]byte{0x0a, 0}, 4<<20)), message(2, message(2)))},
		"empty events":           {"traces", protobufType, span(repeated([]byte{0x5a, 0}, 4<<20))},
		"empty links":            {"traces", protobufType, span(repeated([]byte{0x6a, 0}, 4<<20))},
		"empty values":           {"logs", protobufType, message(1, message(2, message(2, message(5, message(5, repeated([]byte{0x0a, 0}, 4<<20))))))},
		"empty exemplars":        {"metrics", protobufType, message(1, message(2, message(2, message(5, message(1, repeated([]byte{0x2a, 0}, 4<<20))))))},
		"packed buckets":         {"metrics", protobufType, message(1, message(2, message(2, message(10, message(1, message(8, message(2, make([]byte, 4<<20))))))))},
		"nested values":          {"traces", protobufType, span(message(9, message(1, []byte("k")), message(2, nestedValue(100_000))))},
		"spans in JSON":          {"traces", jsonType, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat("{},", 1<<20) + `{}]}]}]}`)},
		"numbers in JSON":        {"metrics", jsonType, []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"bucketCounts":[` + strings.Repeat("0,", 2<<20) + `0]}]}}]}]}]}`)},
		"lists in JSON":          {"traces", jsonType, []byte(`{"resourceSpans":` + strings.Repeat("[", 4<<20))},
		"long texts":             {"traces", protobufType, message(1, message(2, repeated(spanNamed(strings.Repeat("x", 100_000)), 19<<20)))},
		"long invalid texts":     {"traces", protobufType, message(1, message(2, repeated(spanNamed(strings.Repeat("\xffx", 50_000)), 19<<20)))},
		"an endless text":        {"traces", protobufType, span(message(9, message(1, []byte("k")), message(2, message(1, bytes.Repeat([]byte{'x', 0xff}, 9<<20)))))},
		"random bytes":           {"logs", protobufType, message(1, message(2, repeated(message(2, message(5, message(7, random(100_000)))), 19<<20)))},
		"long texts in JSON":     {"traces", jsonType, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat(`{"name":"`+strings.Repeat("x", 100_000)+`"},`, 70) + `{}]}]}]}`)},
		"objects in JSON":        {"traces", jsonType, []byte(strings.Repeat(`{"a":`, 1<<20))},
	}
	return all
}

// podAttributes are what a pod's resources are given: a request of many small resources
// grows by them.
var podAttributes = sidecarapi.EnvResourceAttributes + "=k8s.pod.name=" + strings.Repeat("x", 250) + ",k8s.namespace.name=" + strings.Repeat("y", 250)

func spanNamed(name string) []byte { return message(2, message(5, []byte(name))) }

func random(size int) []byte {
	bytes := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(bytes)
	return bytes
}

func compressed(body []byte) []byte {
	var out bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = zip.Write(body)
	_ = zip.Close()
	return out.Bytes()
}

// No request takes more memory than the container has: a sidecar that is killed for
// memory loses its queue and its ledger.
func TestReceiver_BombsStayWithinTheContainersMemory(t *testing.T) {
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, fmt.Sprint("GOMEMLIMIT=", container/5*4), podAttributes)...)
	want := sendBombs(t, p)
	if peak := p.memory("VmHWM") - p.memory("RssFile"); peak > container {
		t.Errorf("memory peaked at %d bytes, the container has %d", peak, container)
	} else {
		t.Logf("memory peaked at %.1f MiB", float64(peak)/(1<<20))
	}
	want.check(t, p.stop())
}

// answered is what senders know from the answers: how many requests were refused, by the
// ledger's reason, and how many items were in the others.
type answered struct {
	mu       sync.Mutex
	requests map[ledger.BadRequest]int64
	short    int64 // requests that were refused because memory was short
	items    int64 // in all requests but those of bad data and those that are too big
}

// sendBombs sends all bombs at once to one sidecar, each by HTTP and by gRPC.
func sendBombs(t *testing.T, p *process) *answered {
	t.Helper()
	a := &answered{requests: map[ledger.BadRequest]int64{}}
	var sending sync.WaitGroup
	for name, b := range bombs() {
		sending.Go(func() {
			body := compressed(b.body)
			a.count(t, name, b, probe{method: http.MethodPost, path: "/v1/" + b.signal, contentType: b.kind, compression: "gzip", body: body}.ask(t, p.otlp))
			if b.kind == protobufType {
				a.count(t, name+" by gRPC", b, call(services[b.signal]+"/Export", "gzip", 1, body).ask(t, p.otlp))
			}
			if p.get("/health") != http.StatusOK {
				t.Errorf("%s: the sidecar has ended", name)
			}
		})
	}
	sending.Wait()
	return a
}

func (a *answered) count(t *testing.T, name string, b bomb, answer string) {
	status, _, _ := strings.Cut(strings.TrimPrefix(answer, "grpc-status "), " ")
	items := int64(0)
	for _, signal := range ledger.Signals {
		if b.kind == protobufType && signal.String() == b.signal {
			sum, _ := wire.Scan(signal, b.body)
			items = int64(sum.Items)
		}
	}
	if in := ptraceotlp.NewExportRequest(); b.kind == jsonType && (status == "200" || status == "503") && in.UnmarshalJSON(b.body) == nil {
		items = int64(in.Traces().SpanCount())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch status {
	case "400", "3":
		a.requests[ledger.Malformed]++
	case "413", "8":
		a.requests[ledger.TooBig]++
	case "503", "14":
		a.short++
		a.items += items
	case "200", "0":
		a.items += items
	default:
		t.Errorf("%s: answered %q", name, answer)
	}
}

// check compares the answers with the ledger.
func (a *answered) check(t *testing.T, entries map[string]ledger.Entry) {
	t.Helper()
	found, items, busy := map[ledger.BadRequest]int64{}, int64(0), int64(0)
	for _, e := range entries {
		for _, why := range []ledger.BadRequest{ledger.Malformed, ledger.TooBig} {
			if n := e.RefusedRequests[why.String()]; n > 0 {
				found[why] += n
			}
		}
		busy += e.RefusedRequests[ledger.Busy.String()]
		items += e.Accepted + sum(e.Refused)
	}
	if diff := cmp.Diff(a.requests, found); diff != "" {
		t.Errorf("refused requests (-answered +counted):\n%s", diff)
	}
	if a.requests[ledger.Malformed] == 0 || a.requests[ledger.TooBig] == 0 {
		t.Errorf("refused requests: %v, want some that are malformed and some that are too big", a.requests)
	}
	if items != a.items && busy == 0 || items > a.items || busy > a.short {
		t.Errorf("the ledger knows of %d items, answered were %d; busy %d of %d", items, a.items, busy, a.short)
	}
}

// A request of the largest size is taken within the same memory. Where the memory of the
// one before is not free yet, its sender tries again, as the answer says.
func TestReceiver_LargestRequest(t *testing.T) {
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, fmt.Sprint("GOMEMLIMIT=", container/5*4))...)
	app := newClient(t, p.otlp)
	for range 2 {
		eventually(t, "the request is taken", func() bool { return app.post(app.spans(18_000, 930)) == nil }) // some 19 MB
	}
	if peak := p.memory("VmHWM") - p.memory("RssFile"); peak > container {
		t.Errorf("memory peaked at %d bytes, the container has %d", peak, container)
	}
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	if got := app.accepted.Load(); got != 36_000 && e.Refused["memory"] == 0 {
		t.Errorf("took %d of 36000 spans: %+v", got, e)
	}
}
