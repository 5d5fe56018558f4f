package spanmetrics

import (
	"math"
	"testing"
)

func TestAdjustedCount(t *testing.T) {
	for state, want := range map[string]struct {
		count float64
		known bool
	}{
		"":                              {1, false},
		"vendor=1":                      {1, false},
		"ot=rv:abcdefabcdefab":          {1, false},
		"ot=th:0":                       {1, true},
		"ot=th:8":                       {2, true},
		"ot=th:c":                       {4, true},
		"ot=th:fd70a3d70a3d71":          {100, true},
		"ot=rv:abcdefabcdefab;th:c":     {4, true},
		"vendor=th:8, ot=th:c ,other=1": {4, true},
		"ot=th:ffffffffffffff":          {1 << 56, true},
		"ot=th:":                        {1, false},
		"ot=th:C":                       {1, false},
		"ot=th:000000000000000":         {1, false},
		"xot=th:8":                      {1, false},
		"ot=p:0;r:5":                    {1, true},
		"ot=p:3;r:5":                    {8, true},
		"ot=p:62":                       {1 << 62, true},
		"ot=p:63":                       {0, true},
		"ot=p:64":                       {1, false},
		"ot=p:-1":                       {1, false},
		"ot=p:3;th:8":                   {2, true},
		"ot=th:zz;p:1":                  {2, true},
		";;,,=,ot=;;":                   {1, false},
	} {
		count, known := adjustedCount([]byte(state))
		if math.Abs(count-want.count) > want.count*1e-12 || known != want.known {
			t.Errorf("%q: got %v, %t, want %v, %t", state, count, known, want.count, want.known)
		}
	}
}

func TestMetrics_CountsSpansForTheirShare(t *testing.T) {
	m := newMetrics(10)
	get := attributes{"http.request.method": "GET", "http.response.status_code": 500}
	m.Observe(requestOf(t, cart, span{kind: server, attributes: get, state: "ot=th:c", took: 2e9}, span{kind: server, attributes: get, took: 1e9}))
	if got := exposed(t, m).value("http_server_errors_total"); got != 5 {
		t.Errorf("%v errors, want 4 of one span and 1 of the other", got)
	}
	if got := exposed(t, m).value("novawire_sidecar_span_metrics_unknown_probability_total"); got != 1 {
		t.Errorf("%v spans of unknown probability, want 1", got)
	}
	h := exposed(t, m)["http_server_request_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 5 || h.GetSampleSum() != 9 {
		t.Errorf("histogram has count %d and sum %v, want 5 and 9", h.GetSampleCount(), h.GetSampleSum())
	}
}
