package cluster

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// RoundTripper is a function that is an [http.RoundTripper].
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Writes records the requests of a client that change something, dry runs too, as "PATCH
// /api/v1/namespaces/nova". Its methods are safe for concurrent use.
type Writes struct {
	mu    sync.Mutex
	calls []string
}

// Record is for [k8s.io/client-go/rest.Config.Wrap].
func (w *Writes) Record(next http.RoundTripper) http.RoundTripper {
	return RoundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet {
			w.mu.Lock()
			w.calls = append(w.calls, r.Method+" "+r.URL.Path)
			w.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

// All returns the requests in their order.
func (w *Writes) All() []string { return w.About("") }

// About returns the requests whose method and path contain a text.
func (w *Writes) About(text string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.calls), func(call string) bool { return !strings.Contains(call, text) })
}
