package fluentbit_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/record"
	"github.com/nova/novawire/internal/testing/fakelogs"
)

// indicators are the P0 indicators of a service, registered at 0 as the services do.
func indicators(registry *prometheus.Registry) map[string]prometheus.Counter {
	counters := map[string]prometheus.Counter{}
	for _, name := range []string{record.HTTPServerErrors, record.GRPCClientErrors, record.RedisTimeouts} {
		counters[name] = prometheus.NewCounter(prometheus.CounterOpts{Name: name})
		registry.MustRegister(counters[name])
	}
	return counters
}

// event returns a line that a service logs, and the indicator that it counts for it, or "".
func event(random *rand.Rand) (line, indicator string) {
	switch random.IntN(6) {
	case 0:
		return fmt.Sprintf(`{"level":"ERROR","fields":{"message":"request failed","http.response.status_code":%d}}`, 500+random.IntN(5)), record.HTTPServerErrors
	case 1:
		return fmt.Sprintf(`{"level":"WARN","fields":{"message":"call failed","rpc.grpc.status_code":%d}}`, 1+random.IntN(16)), record.GRPCClientErrors
	case 2:
		return `{"level":"ERROR","fields":{"message":"redis: connection timed out"}}`, record.RedisTimeouts
	case 3:
		return fmt.Sprintf(`{"level":"INFO","fields":{"message":"request served","http.response.status_code":%d}}`, 200+random.IntN(300)), ""
	case 4:
		return `{"level":"INFO","fields":{"message":"call answered","rpc.grpc.status_code":0}}`, ""
	}
	return `{"level":"ERROR","fields":{"message":"the cache is cold"}}`, ""
}

// A service counts failures for Prometheus and logs them; the plugin counts them from the logs,
// for CloudWatch. Both say the same, also when requests to CloudWatch Logs are repeated. (A
// document of counts whose response is lost counts twice; docs/logs.md.)
func TestOutput_Counts_AgreeWithPrometheus(t *testing.T) {
	const seed, flushes, linesPerChunk = 17, 20, 100
	random := rand.New(rand.NewPCG(seed, seed))
	registry := prometheus.NewRegistry()
	counters := indicators(registry)
	service := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer service.Close()
	s := startService(t, fakelogs.Options{})
	s.InjectFaults(func(put int) fakelogs.Fault {
		return map[int]fakelogs.Fault{2: {LoseResponse: true}, 5: {Refuse: "ThrottlingException"}, 7: {Reset: true}}[put]
	})
	o := newOutput(t, s, nil)
	for range flushes {
		var all []string
		for range linesPerChunk {
			line, indicator := event(random)
			all = append(all, line)
			if indicator != "" {
				counters[indicator].Inc()
			}
		}
		for chunk := lines("feed", time.Now(), all...); o.Flush(chunk, "t") != fluentbit.OK; {
		}
	}
	o.Close()
	scraped := scrape(t, service.URL)
	counted := map[string]float64{}
	for _, e := range s.Stored() {
		if !strings.HasPrefix(e.Stream, "metrics/") {
			continue
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(e.Message), &document); err != nil {
			t.Fatal(err)
		}
		for name := range counters {
			counted[name] += document[name].(float64)
		}
	}
	if diff := cmp.Diff(scraped, counted); diff != "" {
		t.Errorf("Prometheus (-) and CloudWatch (+) differ:\n%s", diff)
	}
	for name, n := range scraped {
		if n == 0 {
			t.Errorf("%s has not occurred", name)
		}
	}
}

func scrape(t *testing.T, url string) map[string]float64 {
	t.Helper()
	answer, err := http.Get(url) //nolint:noctx // a test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for name, f := range families {
		values[name] = f.GetMetric()[0].GetCounter().GetValue()
	}
	return values
}
