package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

func TestReceiver_Encodings(t *testing.T) {
	body := request(t, "span")
	cases := map[string]struct {
		encoding string
		body     []byte
		status   int
		refused  ledger.BadRequest
	}{
		"none":                  {"", body, 200, -1},
		"identity":              {"identity", body, 200, -1},
		"gzip":                  {"gzip", gzipped(body), 200, -1},
		"zstd":                  {"zstd", zstandard(body), 200, -1},
		"deflate":               {"deflate", body, 415, ledger.Unsupported},
		"snappy":                {"snappy", body, 415, ledger.Unsupported},
		"lz4":                   {"lz4", body, 415, ledger.Unsupported},
		"gzip that is broken":   {"gzip", body, 400, ledger.Incomplete},
		"gzip that breaks off":  {"gzip", gzipped(body)[:12], 400, ledger.Incomplete},
		"zstd that is broken":   {"zstd", body, 400, ledger.Incomplete},
		"gzip beyond the limit": {"gzip", gzipped(make([]byte, 2<<20)), 413, ledger.TooBig},
		"zstd beyond the limit": {"zstd", zstandard(make([]byte, 2<<20)), 413, ledger.TooBig},
		"zstd of little gain":   {"zstd", zstandard(incompressible(300 << 10)), 413, ledger.TooBig},
		"gzip of little gain":   {"gzip", gzipped(incompressible(300 << 10)), 200, -1},
		"plain over the limit":  {"", make([]byte, 2<<20), 413, ledger.TooBig},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			status, _ := r.post(t, typeProtobuf, c.encoding, c.body)
			if status != c.status {
				t.Errorf("answered %d, want %d", status, c.status)
			}
			if taken := len(r.sink.spans()) == 1; taken != (c.status == 200) && c.refused >= 0 || c.status == 200 && !taken && len(c.body) < 1000 {
				t.Errorf("taken: %v", taken)
			}
			if c.refused >= 0 && r.refused(c.refused) != 1 {
				t.Errorf("refused requests: %v, want one %s", r.stats.Entries()["traces"].RefusedRequests, c.refused)
			}
		})
	}
}

func TestReceiver_GRPCEncodings(t *testing.T) {
	body := request(t, "span")
	for encoding, c := range map[string]struct {
		message    []byte
		compressed byte
		want       codes.Code
	}{
		"identity": {body, 0, codes.OK},
		"gzip":     {gzipped(body), 1, codes.OK},
		"zstd":     {zstandard(body), 1, codes.OK},
		"snappy":   {body, 1, codes.Unimplemented},
		"deflate":  {body, 1, codes.Unimplemented},
	} {
		t.Run(encoding, func(t *testing.T) {
			r := start(t, nil)
			if got, message := r.call(t, encoding, frame(c.compressed, c.message)); got != c.want {
				t.Errorf("got %s %q, want %s", got, message, c.want)
			}
			if c.want != codes.OK && r.refused(ledger.Unsupported) != 1 {
				t.Errorf("refused requests: %v", r.stats.Entries()["traces"].RefusedRequests)
			}
		})
	}
}

// nested is a span with an attribute of lists in lists.
func nested(depth int) []byte {
	sub := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	value := sub(1, []byte("x"))
	for range depth {
		value = sub(5, sub(1, value))
	}
	return sub(1, sub(2, sub(2, sub(9, append(sub(1, []byte("k")), sub(2, value)...)))))
}

// Nothing that is sent ends the receiver, or takes more memory than it may. What is small
// on the wire stays small, because it is not decoded.
func TestReceiver_Bombs(t *testing.T) {
	scope := func(spans []byte) []byte {
		sub := func(content []byte) []byte {
			return protowire.AppendBytes([]byte{0x0a}, protowire.AppendBytes([]byte{0x12}, content))
		}
		return sub(spans)
	}
	cases := map[string]struct {
		kind, encoding string
		body           []byte
		status         int
		taken          int
	}{
		"many empty spans":             {typeProtobuf, "gzip", gzipped(scope(bytes.Repeat([]byte{0x12, 0}, 100_000))), 200, 100_000},
		"deep nesting":                 {typeProtobuf, "", nested(10_000), 400, 0},
		"deep nesting in JSON":         {typeJSON, "", []byte(strings.Repeat(`{"resourceSpans":[`, 50_000)), 400, 0},
		"many empty spans in JSON":     {typeJSON, "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat("{},", 100_000) + `{}]}]}]}`), 413, 0},
		"many empty attributes":        {typeProtobuf, "", scope(protowire.AppendBytes([]byte{0x12}, bytes.Repeat([]byte{0x4a, 0}, 100_000))), 200, 1},
		"many empty scopes":            {typeProtobuf, "", protowire.AppendBytes([]byte{0x0a}, bytes.Repeat([]byte{0x12, 0}, 400_000)), 200, 0},
		"many empty resources":         {typeProtobuf, "", bytes.Repeat([]byte{0x0a, 0}, 400_000), 200, 0},
		"a length that lies":           {typeProtobuf, "", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, 400, 0},
		"groups in groups":             {typeProtobuf, "", bytes.Repeat([]byte{0x0b}, 500_000), 400, 0},
		"a number in JSON without end": {typeJSON, "", []byte(`{"resourceSpans":` + strings.Repeat("1", 500_000)), 400, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			status, answer := r.post(t, c.kind, c.encoding, c.body)
			if status != c.status || len(r.sink.spans()) != c.taken {
				t.Errorf("answered %d %.100q, took %d; want %d and %d", status, answer, len(r.sink.spans()), c.status, c.taken)
			}
		})
	}
}

// An item that cannot be delivered is refused alone, and its sender is told.
func TestReceiver_PartialSuccess(t *testing.T) {
	large := strings.Repeat("x", 300<<10)
	body := request(t, "small", large, "small too")
	t.Run("protobuf", func(t *testing.T) {
		r := start(t, nil)
		status, answer := r.post(t, typeProtobuf, "", body)
		response := ptraceotlp.NewExportResponse()
		if err := response.UnmarshalProto(answer); err != nil || status != 200 {
			t.Fatal(status, err)
		}
		r.checkPartial(t, response)
	})
	t.Run("JSON", func(t *testing.T) {
		r := start(t, nil)
		in := ptraceotlp.NewExportRequest()
		_ = in.UnmarshalProto(body)
		text, _ := in.MarshalJSON()
		status, answer := r.post(t, typeJSON, "", text)
		response := ptraceotlp.NewExportResponse()
		if err := response.UnmarshalJSON(answer); err != nil || status != 200 {
			t.Fatal(status, err, string(answer))
		}
		r.checkPartial(t, response)
	})
	t.Run("gRPC", func(t *testing.T) {
		r := start(t, nil)
		in := ptraceotlp.NewExportRequest()
		_ = in.UnmarshalProto(body)
		response, err := ptraceotlp.NewGRPCClient(r.dial(t)).Export(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		r.checkPartial(t, response)
	})
}

func (r running) checkPartial(t *testing.T, response ptraceotlp.ExportResponse) {
	t.Helper()
	e := r.stats.Entries()["traces"]
	if response.PartialSuccess().RejectedSpans() != 1 || !strings.Contains(response.PartialSuccess().ErrorMessage(), "larger than") {
		t.Errorf("rejected %d: %q", response.PartialSuccess().RejectedSpans(), response.PartialSuccess().ErrorMessage())
	}
	if e.Accepted != 2 || e.Refused["oversize"] != 1 || len(r.sink.spans()) != 2 {
		t.Errorf("the ledger has %+v, the pipeline %d", e, len(r.sink.spans()))
	}
}

// Text that is not UTF-8 is repaired in its span alone.
func TestReceiver_RepairsText(t *testing.T) {
	r := start(t, nil)
	status, _ := r.post(t, typeProtobuf, "", request(t, "good", "b\xffd", "good too"))
	if got := fmt.Sprintf("%q", r.sink.spans()); status != 200 || got != `["good" "b�d" "good too"]` {
		t.Errorf("answered %d, took %s", status, got)
	}
}

// A pipeline that refuses is told to the sender, who may try again or may not.
func TestReceiver_PipelineErrors(t *testing.T) {
	large := make([]string, 2500) // three pieces
	cases := map[string]struct {
		spans  []string
		fail   func(call int) bool
		status int
		want   ledger.Entry
	}{
		"at once":          {[]string{"a"}, func(int) bool { return true }, 503, ledger.Entry{Refused: map[string]int64{"memory": 1}}},
		"the first piece":  {large, func(int) bool { return true }, 503, ledger.Entry{Refused: map[string]int64{"memory": 2500}}},
		"a later piece":    {large, func(call int) bool { return call > 1 }, 200, ledger.Entry{Accepted: 1000, Refused: map[string]int64{"memory": 1500}}},
		"a piece for once": {large, func(call int) bool { return call == 2 }, 200, ledger.Entry{Accepted: 2500, Refused: map[string]int64{}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil)
			calls := 0
			r.sink.err = func() error {
				if calls++; c.fail(calls) {
					return errors.New("memory is short")
				}
				return nil
			}
			response, _ := r.do(t, typeProtobuf, "", request(t, c.spans...))
			status, again := response.StatusCode, response.Header.Get("Retry-After")
			if (again != "") != (status == 503) {
				t.Errorf("answered %d, Retry-After %q", status, again)
			}
			e := r.stats.Entries()["traces"]
			if status != c.status || e.Accepted != c.want.Accepted || e.Refused["memory"] != c.want.Refused["memory"] {
				t.Errorf("answered %d, the ledger has %+v; want %d and %+v", status, e, c.status, c.want)
			}
		})
	}
}

// The codes of gRPC say whether a sender may try again.
func TestReceiver_PipelineErrorsByGRPC(t *testing.T) {
	for want, err := range map[codes.Code]error{
		codes.Unavailable: errors.New("memory is short"),
		codes.Internal:    consumererror.NewPermanent(errors.New("a defect")),
	} {
		r := start(t, nil)
		r.sink.err = func() error { return err }
		if got, message := r.call(t, "", frame(0, request(t, "a"))); got != want {
			t.Errorf("%v: got %s %q, want %s", err, got, message, want)
		}
	}
}

// incompressible is a request of so many random bytes in a field that OTLP does not have.
func incompressible(size int) []byte {
	random := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	return protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), random)
}
