package rotator_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	admissionapi "k8s.io/api/admission/v1"

	"github.com/nova/novawire/certs/rotator"
)

const mutation = "test.nova.dev/wired"

// replica is a small webhook server that serves the certificate of a rotator.
type replica struct {
	bed      *environment
	server   *http.Server
	listener net.Listener
	halt     func()

	dialed, accepted atomic.Int64
	open             atomic.Int64 // connections
	draining         atomic.Bool

	mu     sync.Mutex
	served map[string]int // handshakes by the authority that signed the leaf
}

// replica starts a replica and waits until it is ready. With keepAlive, admission
// requests share an HTTP/2 connection, as those of an API server do. Without it each
// request makes a handshake of its own.
func (b *environment) replica(settings rotator.Settings, keepAlive bool) *replica {
	rotator, halt := b.start(settings)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	r := &replica{bed: b, listener: listener, halt: halt, served: map[string]int{}}
	config := &tls.Config{}
	rotator.TLS(config)
	get := config.GetCertificate
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf, err := get(hello)
		if err == nil {
			r.mu.Lock()
			r.served[leaf.Leaf.Issuer.CommonName]++
			r.mu.Unlock()
		}
		return leaf, err
	}
	r.server = &http.Server{Handler: http.HandlerFunc(r.serve), TLSConfig: config, ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			r.accepted.Add(1)
			r.open.Add(1)
		case http.StateClosed:
			r.open.Add(-1)
		}
	}}
	if !keepAlive {
		config.NextProtos = []string{"http/1.1"}
		r.server.SetKeepAlivesEnabled(false)
	}
	go r.server.ServeTLS(listener, "", "")
	b.ready(rotator)
	b.Cleanup(r.stop)
	return r
}

// serve answers a request. While the replica drains, it asks HTTP/2 clients to close
// the connection: Shutdown closes idle connections at once, even if a request is on
// its way.
func (r *replica) serve(w http.ResponseWriter, request *http.Request) {
	if r.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	mutate(w, request)
}

// drainTimeout is the time in which an open connection has to be used once more.
const drainTimeout = time.Second

// drain waits until the clients have closed their connections, at most drainTimeout.
func (r *replica) drain() {
	r.draining.Store(true)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for enough := time.After(drainTimeout); r.open.Load() > 0; {
		select {
		case <-tick.C:
		case <-enough:
			return
		}
	}
}

// stop ends the replica as SIGTERM does: open requests are answered.
func (r *replica) stop() {
	r.drain()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.bed.Context()), 10*time.Second)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		r.bed.Errorf("stop a replica: %v", err)
	}
	r.halt()
}

// mutate answers an AdmissionReview with one annotation.
func mutate(w http.ResponseWriter, request *http.Request) {
	var review admissionapi.AdmissionReview
	if err := json.NewDecoder(request.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Response = &admissionapi.AdmissionResponse{
		UID: review.Request.UID, Allowed: true,
		PatchType: new(admissionapi.PatchTypeJSONPatch),
		Patch:     []byte(`[{"op":"add","path":"/metadata/annotations","value":{"` + mutation + `":"yes"}}]`),
	}
	review.Request = nil
	json.NewEncoder(w).Encode(review)
}

// balancer takes the place of a Service: it has one address and forwards connections
// to any replica that is ready.
type balancer struct {
	listener net.Listener
	mu       sync.Mutex
	ready    []*replica
	all      []*replica
	next     int
}

func (b *environment) startBalancer() *balancer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &balancer{listener: listener}
	b.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.forward(conn)
		}
	}()
	return s
}

func (s *balancer) url() string { return "https://" + s.listener.Addr().String() + "/" }

func (s *balancer) add(r *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.all = append(s.ready, r), append(s.all, r)
}

// remove returns when the replica has accepted every connection that was sent to it.
// The preStop hook of a pod waits for the same.
func (s *balancer) remove(r *replica) {
	s.mu.Lock()
	s.ready = slices.DeleteFunc(s.ready, func(one *replica) bool { return one == r })
	s.mu.Unlock()
	r.bed.eventually("the replica has accepted its connections", func() error {
		if dialed, accepted := r.dialed.Load(), r.accepted.Load(); dialed != accepted {
			return fmt.Errorf("%d of %d", accepted, dialed)
		}
		return nil
	})
}

func (s *balancer) forward(near net.Conn) {
	defer near.Close()
	far, err := s.dial()
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { pipe(far, near) })
	both.Go(func() { pipe(near, far) })
	both.Wait()
}

// dial connects while it holds the lock, so that a removed replica gets no new
// connection.
func (s *balancer) dial() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	r := s.ready[s.next%len(s.ready)]
	conn, err := net.Dial("tcp", r.listener.Addr().String())
	if err == nil {
		r.dialed.Add(1)
	}
	return conn, err
}

func pipe(to, from net.Conn) {
	io.Copy(to, from)
	to.(*net.TCPConn).CloseWrite()
}

// handshakes returns the number of handshakes by the authority that signed the leaf.
func (s *balancer) handshakes() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := map[string]int{}
	for _, r := range s.all {
		r.mu.Lock()
		for authority, n := range maps.All(r.served) {
			sum[authority] += n
		}
		r.mu.Unlock()
	}
	return sum
}
