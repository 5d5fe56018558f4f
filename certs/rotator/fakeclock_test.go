package rotator_test

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nova/novawire/internal/testing/cluster"
)

// fakeClock is a clock with an adjustable offset to the true time.
type fakeClock struct{ apart atomic.Int64 }

func (w *fakeClock) set(apart time.Duration) { w.apart.Store(int64(apart)) }

func (w *fakeClock) now() time.Time { return time.Now().Add(time.Duration(w.apart.Load())) }

// dates sets the Date header of the API server's responses to the fake time.
func (w *fakeClock) dates(next http.RoundTripper) http.RoundTripper {
	return cluster.RoundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err == nil {
			response.Header.Set("Date", w.now().UTC().Format(http.TimeFormat))
		}
		return response, err
	})
}
