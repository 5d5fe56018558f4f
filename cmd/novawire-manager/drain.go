package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// drainTime is how long the server keeps answering after SIGTERM, so that API servers
// move to other connections.
const drainTime = 2 * time.Second

// drainer asks API servers to close their connections before the server does. An API
// server sends all its reviews over one connection to a replica, even if the Service
// has others, and net/http's Shutdown closes an idle connection at once, even if a
// review is in flight. A response with Connection: close makes HTTP/2 send GOAWAY
// (RFC 9113, section 6.8): later requests use another connection or are retried.
type drainer struct{ started atomic.Bool }

// delayedContext returns a context that ends [drainTime] after ctx does.
func (d *drainer) delayedContext(ctx context.Context) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		d.started.Store(true)
		time.AfterFunc(drainTime, cancel)
	})
	return later
}

func (d *drainer) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.started.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
