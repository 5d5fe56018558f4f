package receiver

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
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
	t.Run("JSON has hex ids, lowerCamelCase names, integer enumerations, and unknown fields", func(t *testing.T) {
		m := ptraceotlp.NewExportRequest()
		body := `{"resourceSpans":[{"new":1,"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",` +
			`"name":"n","kind":2,"startTimeUnixNano":"1544712660000000000","droppedAttributesCount":3,"newer":{"a":[]}}]}]}]}`
		s := start(t, nil)
		if status, answer := s.post(t, typeJSON, "", []byte(body)); status != 200 {
			t.Fatalf("answered %d %s", status, answer)
		}
		server := newServer(&Config{MaxRequestBytes: 1, HeldBytes: 1, Concurrency: 1}, nil, s.stats)
		server.config.Piece.Memory = 1 << 20
		proto, err := server.fromJSON(0, []byte(body))
		if err == nil {
			err = m.UnmarshalProto(proto)
		}
		if err != nil {
			t.Fatal(err)
		}
		span := m.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
		id := span.TraceID()
		if hex.EncodeToString(id[:]) != "5b8efff798038103d269b633813fc60c" || span.Kind() != ptrace.SpanKindServer || span.StartTimestamp() != 1544712660000000000 || span.DroppedAttributesCount() != 3 {
			t.Errorf("decoded %v", span)
		}
	})
}
