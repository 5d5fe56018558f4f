package receiver

import (
	"bytes"
	"net/http"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

// padded is a request of exactly so many bytes: a field that OTLP does not have.
func padded(size int) []byte {
	head := protowire.AppendTag(nil, 99, protowire.BytesType)
	rest := size - len(head)
	rest -= protowire.SizeVarint(uint64(rest))
	return protowire.AppendBytes(head, make([]byte, rest))
}

// What breaks gRPC's own form is answered by its codes, with a message, and counted.
func TestReceiver_GRPCForm(t *testing.T) {
	const limit = 1 << 20
	body := request(t, "span")
	cases := map[string]struct {
		encoding string
		message  []byte
		want     codes.Code
		counted  ledger.BadRequest
	}{
		"no message":                               {"", nil, codes.InvalidArgument, ledger.Incomplete},
		"a prefix that breaks off":                 {"", []byte{0, 0, 0}, codes.InvalidArgument, ledger.Incomplete},
		"a message that breaks off":                {"", frame(0, body)[:10], codes.InvalidArgument, ledger.Incomplete},
		"a compressed message without an encoding": {"", frame(1, body), codes.Internal, ledger.Malformed},
		"a compressed message of no encoding":      {"identity", frame(1, body), codes.Internal, ledger.Malformed},
		"a message that is garbage":                {"", frame(0, []byte("garbage")), codes.InvalidArgument, ledger.Malformed},
		"a message of the largest size":            {"", frame(0, padded(limit)), codes.OK, -1},
		"a message of a byte more":                 {"", frame(0, padded(limit+1)), codes.ResourceExhausted, ledger.TooBig},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(c *Config) { c.Piece.Bytes = 2 * limit })
			got, message := r.call(t, c.encoding, c.message)
			if got != c.want || (message == "") != (c.want == codes.OK) {
				t.Errorf("got %s %q, want %s", got, message, c.want)
			}
			if c.counted >= 0 && r.refused(c.counted) != 1 {
				t.Errorf("refused requests: %v, want one %s", r.stats.Entries()["traces"].RefusedRequests, c.counted)
			}
		})
	}
}

// A method that is not OTLP's is answered as gRPC does, and the encodings are named where
// one is not taken.
func TestReceiver_GRPCHeaders(t *testing.T) {
	r := start(t, nil)
	for path, want := range map[string]string{"/" + services[ledger.Traces] + "/Import": "12", "/other.Service/Method": "12"} {
		q, _ := http.NewRequest(http.MethodPost, "http://"+r.address+path, bytes.NewReader(frame(0, nil)))
		q.Header.Set("Content-Type", typeGRPC)
		response, err := h2c(t).Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header.Get("Grpc-Status"); got != want || response.StatusCode != http.StatusOK {
			t.Errorf("%s: answered %d, gRPC %s", path, response.StatusCode, got)
		}
	}
	q, _ := http.NewRequest(http.MethodPost, "http://"+r.address+"/"+services[ledger.Traces]+"/Export", bytes.NewReader(frame(1, nil)))
	q.Header.Set("Content-Type", typeGRPC)
	q.Header.Set("Grpc-Encoding", "snappy")
	response, err := h2c(t).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := response.Header.Get("Grpc-Accept-Encoding"); got != "gzip,zstd" {
		t.Errorf("the accepted encodings are %q", got)
	}
}

// What a call held of the budget is free for the next one, and decoders are used again
// after bodies that are broken.
func TestReceiver_GivesBack(t *testing.T) {
	r := start(t, func(c *Config) { c.HeldBytes = 300 << 10 })
	for range 5 {
		if got, message := r.call(t, "", frame(0, padded(200<<10))); got != codes.OK {
			t.Errorf("gRPC: %s %s", got, message)
		}
		if status, answer := r.post(t, typeProtobuf, "", padded(200<<10)); status != 200 {
			t.Errorf("HTTP: %d %s", status, answer)
		}
		for body, want := range map[string]int{string(gzipped(request(t, "span"))): 200, "broken": 400} {
			if status, answer := r.post(t, typeProtobuf, "gzip", []byte(body)); status != want {
				t.Errorf("gzip: %d %s, want %d", status, answer, want)
			}
		}
	}
}
