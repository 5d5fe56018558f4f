package redact_test

import (
	"testing"

	"github.com/nova/novawire/internal/redact"
)

// BenchmarkValue redacts texts of telemetry in which nothing is found.
func BenchmarkValue(b *testing.B) {
	r := newRedactor(b, "mask preset authorization; mask preset email; mask preset card-numbers; drop key *.password; mask value ACCT-[0-9]{8}")
	for name, text := range map[string]string{
		"word":     "GET",
		"path":     "/v1/users/18446744073709551615",
		"sentence": "request handled in 12 ms: status=200, attempt 3 of 5, upstream content-service.nova.svc:8080",
		"json":     `{"timestamp":"2026-11-27T00:00:00.000000Z","level":"INFO","fields":{"message":"request handled","http.response.status_code":200,"user_id":5},"target":"user_service::http"}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, verdict := r.Value(nil, redact.Key{}, []byte(text)); verdict != redact.Keep {
					b.Fatal(verdict)
				}
			}
		})
	}
}
