package sidecar_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
)

// container is the memory that a sidecar is sized for.
const container = 64 << 20

func message(number protowire.Number, content ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(content, nil))
}

// repeated is content that is repeated to the size of a request.
func repeated(content []byte, size int) []byte { return bytes.Repeat(content, size/len(content)) }

func nestedValue(depth int) []byte {
	content := []byte{}
	for range depth { // from the inside: lengths grow, and the whole is quadratic to build
		content = message(5, message(1, content))
	}
	return content
}

// bombs are requests that are small and take much memory when they are decoded.
func bombs() map[string]struct {
	signal, kind string
	body         []byte
} {
	type bomb = struct {
		signal, kind string
		body         []byte
	}
	const protobuf, json = "application/x-protobuf", "application/json"
	span := func(fields ...[]byte) []byte { return message(1, message(2, message(2, fields...))) }
	all := map[string]bomb{
		"empty spans":            {"traces", protobuf, message(1, message(2, repeated([]byte{0x12, 0}, 800_000)))},
		"4 MB of empty spans":    {"traces", protobuf, message(1, message(2, repeated([]byte{0x12, 0}, 4<<20)))},
		"small log records":      {"logs", protobuf, message(1, message(2, repeated(message(2, message(5, message(1, []byte("twenty bytes of text")))), 4<<20)))},
		"empty data points":      {"metrics", protobuf, message(1, message(2, message(2, message(5, repeated([]byte{0x0a, 0}, 4<<20)))))},
		"empty metrics":          {"metrics", protobuf, message(1, message(2, repeated([]byte{0x12, 0}, 4<<20)))},
		"empty resources":        {"traces", protobuf, repeated([]byte{0x0a, 0}, 4<<20)},
		"empty scopes":           {"traces", protobuf, message(1, repeated([]byte{0x12, 0}, 4<<20))},
		"empty attributes":       {"traces", protobuf, span(repeated([]byte{0x4a, 0}, 4<<20))},
		"attributes of resource": {"traces", protobuf, message(1, message(1, repeated([]byte{0x0a, 0}, 4<<20)), message(2, message(2)))},
		"empty events":           {"traces", protobuf, span(repeated([]byte{0x5a, 0}, 4<<20))},
		"empty links":            {"traces", protobuf, span(repeated([]byte{0x6a, 0}, 4<<20))},
		"empty values":           {"logs", protobuf, message(1, message(2, message(2, message(5, message(5, repeated([]byte{0x0a, 0}, 4<<20))))))},
		"empty exemplars":        {"metrics", protobuf, message(1, message(2, message(2, message(5, message(1, repeated([]byte{0x2a, 0}, 4<<20))))))},
		"packed buckets":         {"metrics", protobuf, message(1, message(2, message(2, message(10, message(1, message(8, message(2, make([]byte, 4<<20))))))))},
		"nested values":          {"traces", protobuf, span(message(9, message(1, []byte("k")), message(2, nestedValue(5_000))))},
		"spans in JSON":          {"traces", json, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat("{},", 1<<20) + `{}]}]}]}`)},
		"numbers in JSON":        {"metrics", json, []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"bucketCounts":[` + strings.Repeat("0,", 2<<20) + `0]}]}}]}]}]}`)},
		"lists in JSON":          {"traces", json, []byte(`{"resourceSpans":` + strings.Repeat("[", 4<<20))},
		"objects in JSON":        {"traces", json, []byte(strings.Repeat(`{"a":`, 1<<20))},
	}
	return all
}

func compressed(body []byte) []byte {
	var out bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = zip.Write(body)
	_ = zip.Close()
	return out.Bytes()
}

// No request takes more memory than the container has: a sidecar that is killed for
// memory loses its queue and its ledger. All bombs are sent at once to one sidecar, each
// twice.
func TestReceiver_BombsStayWithinTheContainersMemory(t *testing.T) {
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, fmt.Sprint("GOMEMLIMIT=", container/5*4))...)
	var sending sync.WaitGroup
	for name, bomb := range bombs() {
		body := compressed(bomb.body)
		sending.Go(func() {
			for range 2 {
				request, _ := http.NewRequest(http.MethodPost, "http://"+p.otlp+"/v1/"+bomb.signal, bytes.NewReader(body))
				request.Header.Set("Content-Type", bomb.kind)
				request.Header.Set("Content-Encoding", "gzip")
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Errorf("%s, %d bytes: %v", name, len(body), err)
					return
				}
				answer, _ := io.ReadAll(response.Body)
				response.Body.Close()
				switch response.StatusCode {
				case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable:
				default:
					t.Errorf("%s: answered %s %.100q", name, response.Status, answer)
				}
				if p.get("/health") != http.StatusOK {
					t.Errorf("%s: the sidecar has ended", name)
				}
			}
		})
	}
	sending.Wait()
	if peak := p.memory("VmHWM") - p.memory("RssFile"); peak > container {
		t.Errorf("memory peaked at %d bytes, the container has %d", peak, container)
	} else {
		t.Logf("memory peaked at %.1f MiB", float64(peak)/(1<<20))
	}
	p.stop() // balances
}

// A request of the largest size is taken within the same memory, and delivered.
func TestReceiver_LargestRequest(t *testing.T) {
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, fmt.Sprint("GOMEMLIMIT=", container/5*4), "NOVAWIRE_DRAIN_TIMEOUT=30s")...)
	app := newClient(t, p.otlp)
	for range 2 {
		if err := app.post(app.spans(18_000, 930)); err != nil { // some 19 MB
			t.Error(err)
		}
	}
	if peak := p.memory("VmHWM") - p.memory("RssFile"); peak > container {
		t.Errorf("memory peaked at %d bytes, the container has %d", peak, container)
	}
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	t.Logf("%+v", e)
	if e.Accepted+sum(e.Refused) != 36_000 {
		t.Errorf("the ledger knows of %d, sent were 36000", e.Accepted+sum(e.Refused))
	}
}
