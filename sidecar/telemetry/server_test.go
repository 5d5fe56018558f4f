package telemetry

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/nova/novawire/sidecar/ledger"
)

// Every pod reaches the port: few can hold a request until the sidecar ends.
func TestServer_BoundsWhoWaits(t *testing.T) {
	factory := NewFactory(Config{Pod: "u1"}, &ledger.Ledger{}, nil)
	created, err := factory.Create(t.Context(), extension.Settings{ID: component.NewID(Type)}, factory.CreateDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	s := created.(*server)
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
