package pgtest

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Proxy stands before an S3 server and makes faults.
type Proxy struct {
	Endpoint string

	mu     sync.Mutex
	faults []Fault
	Parts  map[string][]int64 // sizes of the parts that were taken, by object
}

// Fault answers a request itself, and returns true, or lets it pass.
type Fault func(w http.ResponseWriter, r *http.Request) bool

// NewProxy starts one before an endpoint.
func NewProxy(t testing.TB, endpoint string) *Proxy {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Parts: map[string][]int64{}}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", target.Host, r.In.Host
		}, // the signature covers Host
		ErrorLog: log.New(io.Discard, "", 0), // connections that tests break
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.fault(w, r) {
			return
		}
		p.note(r)
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.Endpoint = server.URL
	return p
}

// Add makes a fault happen from now on.
func (p *Proxy) Add(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
}

func (p *Proxy) fault(w http.ResponseWriter, r *http.Request) bool {
	p.mu.Lock()
	faults := p.faults
	p.mu.Unlock()
	for _, f := range faults {
		if f(w, r) {
			return true
		}
	}
	return false
}

func (p *Proxy) note(r *http.Request) {
	if !IsPart(r) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Parts[r.URL.Path] = append(p.Parts[r.URL.Path], r.ContentLength)
}

// IsPart reports whether a request uploads a part.
func IsPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Has("partNumber")
}

// Times makes a fault happen a number of times, to the requests that match.
func Times(n int, match func(*http.Request) bool, f Fault) Fault {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 || !match(r) {
			return false
		}
		n--
		return f(w, r)
	}
}

// Refuse answers with an S3 error.
func Refuse(status int, code string) Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>made by the test</Message></Error>`, code)
		return true
	}
}

// Reset reads a part of the body and breaks the connection.
func Reset(after int64) Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.CopyN(io.Discard, r.Body, after)
		breakConnection(w)
		return true
	}
}

func breakConnection(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// PartLimit refuses parts above a number, as stores with a limit of 1,000 do.
func PartLimit(most int) Fault {
	refuse := Refuse(http.StatusBadRequest, "InvalidArgument")
	return func(w http.ResponseWriter, r *http.Request) bool {
		n, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
		return err == nil && IsPart(r) && n > most && refuse(w, r)
	}
}

// Slow lets a request wait before it passes.
func Slow(d time.Duration) Fault {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		return false
	}
}

// Gate stops the requests that match until it is opened, and says when the first
// has come.
func Gate(match func(*http.Request) bool) (fault Fault, came <-chan struct{}, open func()) {
	arrived, opened := make(chan struct{}), make(chan struct{})
	var once, openOnce sync.Once
	fault = func(_ http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		once.Do(func() { close(arrived) })
		select {
		case <-opened:
		case <-r.Context().Done():
		}
		return false
	}
	return fault, arrived, func() { openOnce.Do(func() { close(opened) }) }
}
