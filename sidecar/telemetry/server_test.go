package telemetry

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/nova/novawire/sidecar/ledger"
)

func newServer(t *testing.T) *server {
	t.Helper()
	factory := NewFactory(Config{Pod: "u1"}, &ledger.Ledger{}, nil)
	created, err := factory.Create(t.Context(), extension.Settings{ID: component.NewID(Type)}, factory.CreateDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return created.(*server)
}

// Every pod reaches the port: few can hold a request until the sidecar ends.
func TestServer_BoundsWhoWaits(t *testing.T) {
	s := newServer(t)
	get := func(path string) int {
		w := httptest.NewRecorder()
		s.serveLedger(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		return w.Code
	}
	for range maxWaiting {
		s.waits <- struct{}{}
	}
	if code := get("/ledger?final"); code != http.StatusServiceUnavailable {
		t.Errorf("one more is answered %d", code)
	}
	if code := get("/ledger"); code != http.StatusOK {
		t.Errorf("without waiting: %d", code)
	}
	<-s.waits
	close(s.final)
	if code := get("/ledger?final"); code != http.StatusOK || len(s.waits) != maxWaiting-1 {
		t.Errorf("after another has left: %d, %d wait", code, len(s.waits))
	}
}

// In a roll-out the manager has more replicas than otherwise. The end waits until each has
// the final ledger, and not longer for one that does not read.
func TestServer_Shutdown(t *testing.T) {
	for name, c := range map[string]struct {
		replicas, stuck int
		takes           time.Duration
	}{
		"all replicas are answered": {4, 0, 0},
		"one does not read":         {4, 1, finalTimeout},
		"nobody waits":              {0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.stop, s.http = func() {}, &http.Server{ReadHeaderTimeout: time.Second}
				for range c.stuck {
					s.waits <- struct{}{}
				}
				var replicas sync.WaitGroup
				answers := make([]*httptest.ResponseRecorder, c.replicas)
				for i := range answers {
					answers[i] = httptest.NewRecorder()
					replicas.Go(func() { s.serveLedger(answers[i], httptest.NewRequest(http.MethodGet, "/ledger?final", http.NoBody)) })
				}
				synctest.Wait()
				start := time.Now()
				if err := s.Shutdown(t.Context()); err != nil || time.Since(start) != c.takes {
					t.Errorf("%v after %s, want %s", err, time.Since(start), c.takes)
				}
				replicas.Wait()
				for i, w := range answers {
					if w.Code != http.StatusOK || w.Body.Len() == 0 {
						t.Errorf("replica %d is answered %d: %q", i, w.Code, w.Body)
					}
				}
			})
		})
	}
}
