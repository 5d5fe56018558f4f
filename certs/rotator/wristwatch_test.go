package rotator_test

import (
	"net/http"
	"sync/atomic"
	"time"
)

// wristwatch is a clock that can be set apart from the true time.
type wristwatch struct{ apart atomic.Int64 }

func (w *wristwatch) set(apart time.Duration) { w.apart.Store(int64(apart)) }

func (w *wristwatch) now() time.Time { return time.Now().Add(time.Duration(w.apart.Load())) }

// dates makes the API server's answers bear the watch's time.
func (w *wristwatch) dates(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err == nil {
			response.Header.Set("Date", w.now().UTC().Format(http.TimeFormat))
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
