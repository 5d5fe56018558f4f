package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// timeToLeave is how long API servers have, after SIGTERM, to use their
// connections once more.
const timeToLeave = 2 * time.Second

// leave has API servers give up their connections before the server closes them.
// An API server keeps one connection to a replica for all its reviews, also when
// the Service has another replica, and net/http's Shutdown closes an idle
// connection at once, under a review that is on its way as well. An answer with
// Connection: close has HTTP/2 say GOAWAY (RFC 9113, section 6.8): what comes
// after it goes elsewhere, or comes again.
type leave struct{ begun atomic.Bool }

// delay gives a context that ends some time after ctx does.
func (l *leave) delay(ctx context.Context) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		l.begun.Store(true)
		time.AfterFunc(timeToLeave, cancel)
	})
	return later
}

func (l *leave) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.begun.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
