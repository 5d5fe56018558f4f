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
		"ot=th:ffc":                     {1 << 10, true},
		"ot=th:ffc00000000001":          {1, false}, // less than 1 in 1024 is not believed
		"ot=th:ffffffffffffff":          {1, false},
		"ot=th:":                        {1, false},
		"ot=th:C":                       {1, false},
		"ot=th:000000000000000":         {1, false},
		"xot=th:8":                      {1, false},
		"ot=p:0;r:5":                    {1, true},
		"ot=p:3;r:5":                    {8, true},
		"ot=p:10;r:11":                  {1 << 10, true},
		"ot=p:11;r:11":                  {1, false},
		"ot=p:62":                       {1, false},
		"ot=p:63":                       {1, false},
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
	observe(m, requestOf(t, cart, span{kind: server, attributes: get, state: "ot=th:c", took: 2e9}, span{kind: server, attributes: get, took: 1e9}))
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

// A caller's tracestate neither hides the errors of others nor its own.
func TestMetrics_CallersCannotSilence(t *testing.T) {
	answered := func(status int, state string) span {
		return span{kind: server, attributes: attributes{"http.request.method": "GET", "http.response.status_code": status}, state: state}
	}
	for _, state := range []string{"ot=p:62", "ot=p:63", "ot=th:ffffffffffffff"} {
		t.Run(state, func(t *testing.T) {
			m := newMetrics(10)
			observe(m, requestOf(t, cart, answered(200, state), answered(500, state)))
			for range 8 {
				observe(m, requestOf(t, cart, answered(500, "")))
			}
			for name, want := range map[string]float64{
				"http_server_requests_total": 10, "http_server_errors_total": 9,
				"novawire_sidecar_span_metrics_unknown_probability_total": 10,
			} {
				if got := exposed(t, m).value(name); got != want {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
		})
	}
}

// No count of one is lost beside the largest counts that are believed.
func TestMetrics_SumsAreExact(t *testing.T) {
	m := newMetrics(10)
	get := attributes{"http.request.method": "GET", "http.response.status_code": 500}
	m.indicators[httpServerErrors] = 8e12 * maxCount // as after so many spans
	observe(m, requestOf(t, cart, span{kind: server, attributes: get, state: "ot=th:ffc"}, span{kind: server, attributes: get}))
	if got := m.indicators[httpServerErrors] - 8e12*maxCount; got != maxCount+1 {
		t.Errorf("%v were added, want %d", got, maxCount+1)
	}
}
