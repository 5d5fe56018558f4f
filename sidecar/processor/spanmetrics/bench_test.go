package spanmetrics

import (
	"testing"
	"time"
)

// The request is like those of the sidecar's benchmarks, and a longer one like those of SDKs.
func BenchmarkMetrics_Observe(b *testing.B) {
	for name, attributes := range map[string]attributes{
		"short": {"http.request.method": "GET", "http.response.status_code": 200, "url.path": "/cart/1"},
		"long": {
			"http.request.method": "GET", "http.response.status_code": 200, "url.path": "/cart/1", "url.scheme": "https", "http.route": "/cart/{id}",
			"server.address": "cart.nova.svc", "server.port": 8080, "network.peer.address": "10.0.0.1", "user_agent.original": "curl/8.5", "network.protocol.version": "1.1",
		},
	} {
		b.Run(name, func(b *testing.B) {
			var spans []span
			for i := range 100 {
				spans = append(spans, span{kind: server, attributes: attributes, took: time.Duration(i) * time.Millisecond})
			}
			m, body := newMetrics(100), requestOf(b, cart, spans...)
			for b.Loop() {
				observe(m, body)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(spans)), "ns/span")
		})
	}
}
