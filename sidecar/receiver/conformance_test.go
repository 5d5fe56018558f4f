package receiver

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/nova/novawire/sidecar/ledger"
)

// What OTLP asks of a server, as far as no other test shows it; docs/sidecar.md has the
// table.
func TestReceiver_Conformance(t *testing.T) {
	t.Run("a full success is 200, of the request's type, without a partial success", func(t *testing.T) {
		r := start(t, nil)
		for kind, c := range map[string]struct{ body, want string }{
			typeProtobuf: {string(request(t, "a")), ""}, typeJSON: {`{"resourceSpans":[]}`, "{}"},
		} {
			status, answer, got := r.postForType(t, kind, []byte(c.body))
			if status != 200 || string(answer) != c.want || got != kind {
				t.Errorf("%s: answered %d %s %q", kind, status, got, answer)
			}
		}
	})
	t.Run("an unknown field of protobuf is ignored", func(t *testing.T) {
		r := start(t, nil)
		body := protowire.AppendString(protowire.AppendTag(request(t, "a"), 99, protowire.BytesType), "x")
		if status, answer := r.post(t, typeProtobuf, "", body); status != 200 || len(r.sink.spans()) != 1 {
			t.Errorf("answered %d %q", status, answer)
		}
	})
	t.Run("an empty request succeeds", func(t *testing.T) {
		r := start(t, nil)
		if status, _ := r.post(t, typeProtobuf, "", nil); status != 200 {
			t.Errorf("HTTP: %d", status)
		}
		if status, _ := r.post(t, typeJSON, "", []byte("{}")); status != 200 {
			t.Errorf("JSON: %d", status)
		}
		if code, message := r.call(t, "", frame(0, nil)); code != codes.OK {
			t.Errorf("gRPC: %s %s", code, message)
		}
	})
	t.Run("a failure has a Status in the encoding of the request", func(t *testing.T) {
		r := start(t, nil)
		status, answer, kind := r.postForType(t, typeProtobuf, []byte("garbage"))
		var inProtobuf spb.Status
		if err := proto.Unmarshal(answer, &inProtobuf); err != nil || status != 400 || kind != typeProtobuf || inProtobuf.GetMessage() == "" {
			t.Errorf("answered %d %s %q", status, kind, answer)
		}
		status, answer, kind = r.postForType(t, typeJSON, []byte("{"))
		var inJSON struct{ Message string }
		if err := json.Unmarshal(answer, &inJSON); err != nil || status != 400 || kind != typeJSON || inJSON.Message == "" {
			t.Errorf("answered %d %s %q", status, kind, answer)
		}
	})
	t.Run("every failure has a Status", func(t *testing.T) {
		r := start(t, nil)
		for name, c := range map[string]struct {
			method, path, kind string
			status             int
			answer             string
		}{
			"another method":            {http.MethodPut, "/v1/traces", typeProtobuf, 405, typeProtobuf},
			"another method in JSON":    {http.MethodGet, "/v1/logs", typeJSON, 405, typeJSON},
			"another path":              {http.MethodPost, "/v1/things", typeProtobuf, 404, typeProtobuf},
			"another path of who knows": {http.MethodGet, "/", "", 404, typeJSON},
			"another content type":      {http.MethodPost, "/v1/traces", "text/plain", 415, typeJSON},
			"a gRPC method by HTTP":     {http.MethodPost, "/" + services[ledger.Traces] + "/Export", typeProtobuf, 415, typeJSON},
		} {
			q, _ := http.NewRequest(c.method, "http://"+r.address+c.path, nil)
			q.Header.Set("Content-Type", c.kind)
			response, err := http.DefaultClient.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if got := response.Header.Get("Content-Type"); response.StatusCode != c.status || got != c.answer {
				t.Errorf("%s: answered %d %s, want %d %s", name, response.StatusCode, got, c.status, c.answer)
			}
			if s := readStatus(t, c.answer, body); s.GetMessage() == "" || s.GetCode() == 0 || len(s.GetDetails()) != 0 {
				t.Errorf("%s: the status is %v", name, s)
			}
			if got := response.Header.Get("Allow"); c.status == 405 && got != http.MethodPost {
				t.Errorf("%s: allowed is %q", name, got)
			}
		}
	})
	t.Run("bad data has a BadRequest in its details", func(t *testing.T) {
		r := start(t, nil)
		for kind, body := range map[string]string{typeProtobuf: "garbage", typeJSON: "{"} {
			_, answer, _ := r.postForType(t, kind, []byte(body))
			s := readStatus(t, kind, answer)
			var bad errdetails.BadRequest
			if len(s.GetDetails()) != 1 || s.GetDetails()[0].UnmarshalTo(&bad) != nil {
				t.Fatalf("%s: the details are %v", kind, s.GetDetails())
			}
			if v := bad.GetFieldViolations(); len(v) != 1 || v[0].GetField() != "body" || v[0].GetDescription() != s.GetMessage() {
				t.Errorf("%s: the violations are %v", kind, v)
			}
		}
	})
	t.Run("JSON has hex ids, lowerCamelCase names, integer enumerations, and unknown fields", func(t *testing.T) {
		m := ptraceotlp.NewExportRequest()
		body := `{"resourceSpans":[{"new":1,"scopeSpans":[{"spans":[{"traceId":"5B8EFFF798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",` +
			`"name":"n","kind":2,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,"droppedAttributesCount":3,"newer":{"a":[]}}]}]}]}`
		s := start(t, nil)
		if status, answer := s.post(t, typeJSON, "", []byte(body)); status != 200 {
			t.Fatalf("answered %d %s", status, answer)
		}
		server := newServer(&Config{MaxRequestBytes: 1, HeldBytes: 1, Concurrency: 1}, nil, s.stats)
		server.config.JSONMemory = 1 << 20
		proto, err := server.fromJSON(0, []byte(body))
		if err == nil {
			err = m.UnmarshalProto(proto)
		}
		if err != nil {
			t.Fatal(err)
		}
		span := m.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
		id := span.TraceID()
		if hex.EncodeToString(id[:]) != "5b8efff798038103d269b633813fc60c" || span.Kind() != ptrace.SpanKindServer || span.StartTimestamp() != 1544712660000000000 || span.EndTimestamp() != 1544712661000000000 || span.DroppedAttributesCount() != 3 {
			t.Errorf("decoded %v", span)
		}
	})
}

// readStatus decodes a Status by protobuf's own libraries.
func readStatus(t *testing.T, kind string, body []byte) *spb.Status {
	t.Helper()
	s := new(spb.Status)
	unmarshal := proto.Unmarshal
	if kind == typeJSON {
		unmarshal = protojson.Unmarshal
	}
	if err := unmarshal(body, s); err != nil {
		t.Fatalf("%s: %v: %q", kind, err, body)
	}
	return s
}
