package agent

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/fluentbit/podfiles"
)

// direct answers requests by a handler, without a network.
type direct struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper. A watch is refused, so that it ends.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	if r.URL.Query().Get("watch") != "" {
		recorder.WriteHeader(http.StatusBadRequest)
		return recorder.Result(), nil
	}
	d.handler.ServeHTTP(recorder, r)
	response := recorder.Result()
	response.Request = r
	return response, nil
}

// TestCluster_Watch_Outage is about the time after an outage of the API server in which
// pods stay undecided. Its clock is a simulation.
func TestCluster_Watch_Outage(t *testing.T) {
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil // one of them sleeps by a clock outside of the simulation
	t.Cleanup(func() { utilruntime.ErrorHandlers = handlers })
	for name, outage := range map[string]time.Duration{
		"of ten seconds":  10 * time.Second,
		"of five minutes": 5 * time.Minute,
		"of an hour":      time.Hour,
	} {
		t.Run(name+": pods are known 15 seconds after it", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &apiServer{
					pods:       []corev1.Pod{wired("nova", "feed-0")},
					namespaces: []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "nova", Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled}}}},
				}
				s.away.Store(true)
				c, err := newCluster(&rest.Config{Host: "http://api", Transport: direct{s}}, "node-a", nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { c.watch(ctx) })
				time.Sleep(outage)
				if _, decision := c.decide(ctx, "nova", "feed-0"); decision != podfiles.Unknown {
					t.Errorf("during the outage the decision is %v", decision)
				}
				s.away.Store(false)
				time.Sleep(15 * time.Second)
				if _, decision := c.decide(ctx, "nova", "feed-0"); decision != podfiles.Wired {
					t.Errorf("15 seconds after the outage the decision is %v", decision)
				}
				cancel()
				running.Wait()
			})
		})
	}
}
