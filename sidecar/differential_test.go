package sidecar_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// probe is one request of the corpus.
type probe struct {
	name                     string
	method, path             string
	contentType, compression string
	body                     []byte
	grpc                     bool
}

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// corpus is sent to both collectors. Requests of every form, good and bad.
func corpus() (all []probe) {
	span := message(1, message(1, message(1, message(1, []byte("service.name")), message(2, message(1, []byte("cart"))))),
		message(2, message(2, message(1, bytes.Repeat([]byte{1}, 16)), message(2, bytes.Repeat([]byte{2}, 8)), message(5, []byte("GET /")))))
	record := message(1, message(2, message(2, message(5, message(1, []byte("text"))))))
	point := message(1, message(2, message(2, message(1, []byte("m")), message(5, message(1, message(7, message(1, []byte("id"))))))))
	const jsonSpan = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"n"}]}]}]}`
	encoder, _ := zstd.NewWriter(nil)
	http1 := func(name, path, contentType, compression string, body []byte) {
		all = append(all, probe{name: name, method: http.MethodPost, path: path, contentType: contentType, compression: compression, body: body})
	}
	http1("a span", "/v1/traces", protobufType, "", span)
	http1("a record", "/v1/logs", protobufType, "", record)
	http1("a data point", "/v1/metrics", protobufType, "", point)
	http1("an empty request", "/v1/traces", protobufType, "", nil)
	http1("an empty request in JSON", "/v1/traces", jsonType, "", []byte("{}"))
	http1("no JSON at all", "/v1/traces", jsonType, "", nil)
	http1("JSON", "/v1/traces", jsonType, "", []byte(jsonSpan))
	http1("JSON with a charset", "/v1/traces", jsonType+"; charset=utf-8", "", []byte(jsonSpan))
	http1("JSON with a parameter without a value", "/v1/traces", jsonType+"; charset", "", []byte(jsonSpan))
	http1("JSON with an unknown field", "/v1/traces", jsonType, "", []byte(`{"resourceSpans":[],"new":{"a":[1]}}`))
	http1("JSON with a bad id", "/v1/traces", jsonType, "", []byte(strings.Replace(jsonSpan, "5b8e", "zzzz", 1)))
	http1("JSON that breaks off", "/v1/traces", jsonType, "", []byte(jsonSpan[:40]))
	http1("gzip", "/v1/traces", protobufType, "gzip", compressed(span))
	http1("zstd", "/v1/traces", protobufType, "zstd", encoder.EncodeAll(span, nil))
	http1("identity", "/v1/traces", protobufType, "identity", span)
	var deflated bytes.Buffer
	deflater := zlib.NewWriter(&deflated)
	_, _ = deflater.Write(span)
	_ = deflater.Close()
	http1("deflate", "/v1/traces", protobufType, "deflate", deflated.Bytes())
	http1("an unknown compression", "/v1/traces", protobufType, "br", span)
	http1("gzip that is broken", "/v1/traces", protobufType, "gzip", span)
	http1("garbage", "/v1/traces", protobufType, "", []byte("garbage"))
	http1("an unknown field", "/v1/traces", protobufType, "", message(99, []byte("x")))
	http1("text that is not UTF-8", "/v1/traces", protobufType, "", bytes.Replace(span, []byte("GET /"), []byte("GET\xff/"), 1))
	http1("an id of the wrong length", "/v1/traces", protobufType, "", message(1, message(2, message(2, message(1, []byte("short"))))))
	http1("a name that is a number", "/v1/traces", protobufType, "", message(1, message(2, message(2, []byte{5 << 3, 1}))))
	http1("a varint that does not end", "/v1/traces", protobufType, "", message(1, message(2, message(2, append([]byte{6 << 3}, bytes.Repeat([]byte{0xff}, 11)...)))))
	http1("scopes in their old place", "/v1/traces", protobufType, "", message(1, message(1000, message(2, message(5, []byte("GET /"))))))
	http1("a group", "/v1/traces", protobufType, "", append(group(99), span...))
	http1("a field number above protobuf's", "/v1/traces", protobufType, "", append([]byte{0x80, 0x80, 0x80, 0x80, 0x10, 0}, span...))
	http1("a metric with two kinds of data", "/v1/metrics", protobufType, "", message(1, message(2, message(2, message(5, message(1)), message(7, message(1))))))
	http1("nested deep", "/v1/traces", protobufType, "", message(1, message(2, message(2, message(9, message(2, nestedValue(200)))))))
	http1("no content type", "/v1/traces", "", "", span)
	http1("another content type", "/v1/traces", "text/plain", "", span)
	http1("an unknown path", "/v1/things", protobufType, "", span)
	http1("a path with a slash at its end", "/v1/traces/", protobufType, "", span)
	http1("more than 20 MiB", "/v1/traces", protobufType, "", make([]byte, 21<<20))
	http1("more than 20 MiB in gzip", "/v1/traces", protobufType, "gzip", compressed(make([]byte, 21<<20)))
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodOptions, http.MethodHead} {
		all = append(all, probe{name: method, method: method, path: "/v1/traces", contentType: protobufType})
	}
	grpc := func(name, method, compression string, flag byte, body []byte) {
		p := call(method, compression, flag, body)
		p.name = "gRPC: " + name
		all = append(all, p)
	}
	traces := services["traces"] + "/Export"
	grpc("a span", traces, "", 0, span)
	grpc("a record", services["logs"]+"/Export", "", 0, record)
	grpc("a data point", services["metrics"]+"/Export", "", 0, point)
	grpc("an empty request", traces, "", 0, nil)
	grpc("gzip", traces, "gzip", 1, compressed(span))
	grpc("zstd", traces, "zstd", 1, encoder.EncodeAll(span, nil))
	grpc("deflate", traces, "deflate", 1, span)
	grpc("garbage", traces, "", 0, []byte("garbage"))
	grpc("a name that is a number", traces, "", 0, message(1, message(2, message(2, []byte{5 << 3, 1}))))
	grpc("text that is not UTF-8", traces, "", 0, bytes.Replace(span, []byte("GET /"), []byte("GET\xff/"), 1))
	grpc("an unknown method", services["traces"]+"/Import", "", 0, span)
	grpc("an unknown service", strings.Replace(traces, "v1", "v9", 1), "", 0, span)
	grpc("5 MiB", traces, "", 0, message(1, message(3, make([]byte, 5<<20))))
	grpc("more than 20 MiB", traces, "", 0, make([]byte, 21<<20))
	grpc("a message that breaks off", traces, "", 0, span)
	last := &all[len(all)-1]
	last.body = last.body[:len(last.body)-3]
	grpc("a compressed message without an encoding", traces, "", 1, span)
	return all
}

// group is an empty group, which protobuf had before its version 3.
func group(number protowire.Number) []byte {
	return protowire.AppendTag(protowire.AppendTag(nil, number, protowire.StartGroupType), number, protowire.EndGroupType)
}

// services are OTLP's, by signal.
var services = map[string]string{"traces": "trace.v1.TraceService", "metrics": "metrics.v1.MetricsService", "logs": "logs.v1.LogsService"}

// call is a message to a method of OTLP's packages by gRPC.
func call(method, compression string, flag byte, body []byte) probe {
	frame := append([]byte{flag, 0, 0, 0, 0}, body...)
	binary.BigEndian.PutUint32(frame[1:], uint32(len(body)))
	return probe{grpc: true, method: http.MethodPost, path: "/opentelemetry.proto.collector." + method, contentType: "application/grpc", compression: compression, body: frame}
}

// ask returns what the collector answers, in a form that can be compared: the status,
// the content type, and the body or the code in it.
func (p probe) ask(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequest(p.method, "http://"+address+p.path, bytes.NewReader(p.body))
	if err != nil {
		t.Fatal(err)
	}
	if p.contentType != "" {
		request.Header.Set("Content-Type", p.contentType)
	}
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	defer transport.CloseIdleConnections()
	if p.grpc {
		transport.Protocols.SetUnencryptedHTTP2(true)
		request.Header.Set("Te", "trailers")
		if p.compression != "" {
			request.Header.Set("Grpc-Encoding", p.compression)
		}
	} else {
		transport.Protocols.SetHTTP1(true)
		if p.compression != "" {
			request.Header.Set("Content-Encoding", p.compression)
		}
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "no answer"
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if p.grpc {
		return "grpc-status " + response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status")
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	answer := fmt.Sprintf("%d %s", response.StatusCode, kind)
	switch {
	case response.StatusCode == http.StatusOK && slices.Contains([]string{"", "\n\x00", "{}", `{"partialSuccess":{}}`}, string(body)):
		answer += " full success" // an empty partial success says the same, and OTLP asks for none
	case response.StatusCode == http.StatusOK:
		answer += fmt.Sprintf(" %q", body)
	case kind == protobufType:
		var status spb.Status
		if proto.Unmarshal(body, &status) == nil {
			answer += fmt.Sprintf(" code %d", status.GetCode())
		}
	case kind == jsonType:
		var status struct{ Code int }
		if json.Unmarshal(body, &status) == nil {
			answer += fmt.Sprintf(" code %d", status.Code)
		}
	}
	return strings.TrimSpace(answer)
}

func startStock(t *testing.T, backend string) (grpc, http1 string) {
	t.Helper()
	path := prerequisite.Path(t, "NOVAWIRE_STOCK_COLLECTOR", "stock_collector")
	grpc, http1 = freeAddress(t), freeAddress(t)
	_, metrics, _ := strings.Cut(freeAddress(t), ":")
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, stockConfig, grpc, http1, backend, metrics), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--config", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	app := newClient(t, grpc)
	eventually(t, "the stock collector takes spans", func() bool { return app.send(app.spans(1, 0)) == nil })
	return grpc, http1
}

// One corpus is answered as the stock collector answers it, but for the differences
// that docs/sidecar.md lists and justifies.
func TestDifferential(t *testing.T) {
	backend := receiver(t, fakeotlp.Options{})
	grpc, http1 := startStock(t, backend.GRPC())
	ours := start(t, "NOVAWIRE_ENDPOINT=http://"+backend.GRPC())
	found := map[string]string{}
	for _, p := range corpus() {
		stock := http1
		if p.grpc {
			stock = grpc
		}
		if a, b := p.ask(t, ours.otlp), p.ask(t, stock); a != b {
			t.Logf("%s", fmt.Sprintf("| %s | `%s` | `%s` |", p.name, a, b))
			found[p.name] = fmt.Sprintf("| %s | `%s` | `%s` |", p.name, a, b)
		}
	}
	text, err := os.ReadFile("../docs/sidecar.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	_, table, _ := strings.Cut(string(text), "| request | sidecar | stock collector | why |\n|---|---|---|---|\n")
	for line := range strings.Lines(table) {
		columns := strings.Split(strings.TrimSpace(line), " | ")
		if len(columns) < 4 || strings.TrimSuffix(columns[3], " |") == "" {
			break
		}
		documented[strings.TrimPrefix(columns[0], "| ")] = strings.Join(columns[:3], " | ") + " |"
	}
	if diff := cmp.Diff(slices.Sorted(maps.Values(documented)), slices.Sorted(maps.Values(found))); diff != "" {
		t.Errorf("differences from the stock collector (-documented +found):\n%s", diff)
	}
}
