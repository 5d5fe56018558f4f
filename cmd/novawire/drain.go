package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// drainTime is how long API servers have, after SIGTERM, to use their
// connections once more.
const drainTime = 2 * time.Second

// drainer has API servers give up their connections before the server closes them.
// An API server keeps one connection to a replica for all its reviews, also when
// the Service has another replica, and net/http's Shutdown closes an idle
// connection at once, under a review that is on its way as well. An answer with
// Connection: close has HTTP/2 say GOAWAY (RFC 9113, section 6.8): what comes
// after it goes elsewhere, or comes again.
type drainer struct{ started atomic.Bool }

// delayedContext gives a context that ends some time after ctx does.
func (l *drainer) delayedContext(ctx context.Context) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		l.started.Store(true)
		time.AfterFunc(drainTime, cancel)
	})
	return later
}

func (l *drainer) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.started.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
