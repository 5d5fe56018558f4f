package sidecar_test

import (
	"strings"
	"testing"
	"time"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/sidecar/ledger"
)

func receiver(t *testing.T, o fakeotlp.Options) *fakeotlp.Receiver {
	t.Helper()
	r, err := fakeotlp.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// to points a sidecar at the receiver.
func to(r *fakeotlp.Receiver, protocol sidecarapi.Protocol, more ...string) []string {
	address := r.GRPC()
	if protocol == sidecarapi.ProtocolHTTP {
		address = r.HTTP()
	}
	return append([]string{sidecarapi.EnvEndpoint + "=http://" + address, sidecarapi.EnvProtocol + "=" + string(protocol)}, more...)
}

// reconcile holds the three accounts against each other: the application's, the
// sidecar's and the backend's.
func reconcile(t *testing.T, c *client, e ledger.Entry, r *fakeotlp.Receiver, signal string) {
	t.Helper()
	if e.Accepted != c.accepted.Load() {
		t.Errorf("accepted: the application knows of %d, the ledger of %d", c.accepted.Load(), e.Accepted)
	}
	if refused := sum(e.Refused); refused != c.refused.Load() {
		t.Errorf("refused: the application knows of %d, the ledger of %d", c.refused.Load(), refused)
	}
	taken := r.Taken(signal)
	if int64(len(taken)) != e.Exported {
		t.Errorf("exported: the backend has %d, the ledger %d", len(taken), e.Exported)
	}
	for id, n := range taken {
		if n != 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
	for _, p := range r.Problems() {
		t.Errorf("the backend complains: %s", p)
	}
	if t.Failed() {
		t.Logf("ledger: %+v", e)
	}
}

func sum(by map[string]int64) (all int64) {
	for _, n := range by {
		all += n
	}
	return all
}

// drops holds the reasons of what was dropped against those expected.
func drops(t *testing.T, e ledger.Entry, reasons ...string) {
	t.Helper()
	for _, reason := range reasons {
		if e.Dropped[reason] == 0 {
			t.Errorf("nothing was dropped as %s: %v", reason, e.Dropped)
		}
	}
	if len(e.Dropped) != len(reasons) {
		t.Errorf("dropped %v, want no reasons but %s", e.Dropped, strings.Join(reasons, ", "))
	}
}

// Every fault of the backend, by both protocols: what was sent is exported or
// counted, to the item.
func TestBackend_Faults(t *testing.T) {
	every := func(n int, f fakeotlp.Fault) func(int) fakeotlp.Fault {
		return func(request int) fakeotlp.Fault {
			if request%n == 0 {
				return f
			}
			return fakeotlp.Fault{}
		}
	}
	always := func(f fakeotlp.Fault) func(int) fakeotlp.Fault { return every(1, f) }
	cases := map[string]struct {
		fault   func(request int) fakeotlp.Fault
		env     []string
		dropped []string
		retried bool
	}{
		"is well":                            {fault: nil},
		"is slow":                            {fault: always(fakeotlp.Fault{Delay: 150 * time.Millisecond})},
		"hangs now and then":                 {fault: every(3, fakeotlp.Fault{Delay: time.Minute}), env: []string{"NOVAWIRE_TIMEOUT=3s"}, retried: true},
		"resets connections":                 {fault: every(2, fakeotlp.Fault{Reset: true}), retried: true},
		"is busy":                            {fault: every(2, fakeotlp.Fault{Refuse: fakeotlp.Busy}), retried: true},
		"is busy and says for how long":      {fault: every(3, fakeotlp.Fault{Refuse: fakeotlp.Busy, RetryAfter: time.Second}), retried: true},
		"limits and says for how long":       {fault: every(3, fakeotlp.Fault{Refuse: fakeotlp.Limited, RetryAfter: time.Second}), retried: true},
		"is busy for longer than is retried": {fault: always(fakeotlp.Fault{Refuse: fakeotlp.Busy}), env: []string{"NOVAWIRE_RETRY_LIMIT=0s"}, dropped: []string{"retry_limit"}},
		"will not have some requests":        {fault: every(2, fakeotlp.Fault{Refuse: fakeotlp.Wrong}), dropped: []string{"rejected"}},
		"will not have some items":           {fault: always(fakeotlp.Fault{Reject: 7}), dropped: []string{"rejected"}},
		"hangs forever and the pod ends":     {fault: always(fakeotlp.Fault{Delay: time.Hour}), env: []string{"NOVAWIRE_DRAIN_TIMEOUT=500ms"}, dropped: []string{"shutdown"}},
		"is busy forever and the pod ends":   {fault: always(fakeotlp.Fault{Refuse: fakeotlp.Busy}), env: []string{"NOVAWIRE_DRAIN_TIMEOUT=500ms"}, dropped: []string{"shutdown"}, retried: true},
		"resets forever and the pod ends":    {fault: always(fakeotlp.Fault{Reset: true}), env: []string{"NOVAWIRE_DRAIN_TIMEOUT=500ms"}, dropped: []string{"shutdown"}, retried: true},
		"hangs forever and there is no time": {fault: always(fakeotlp.Fault{Delay: time.Hour}), env: []string{"NOVAWIRE_DRAIN_TIMEOUT=0s"}, dropped: []string{"shutdown"}},
	}
	for name, c := range cases {
		for _, protocol := range []sidecarapi.Protocol{sidecarapi.ProtocolGRPC, sidecarapi.ProtocolHTTP} {
			t.Run(name+"/"+string(protocol), func(t *testing.T) {
				t.Parallel()
				backend := receiver(t, fakeotlp.Options{})
				backend.Misbehave(c.fault)
				p := start(t, to(backend, protocol, c.env...)...)
				app := newClient(t, p.otlp)
				for round := range 6 {
					before := backend.Requests()
					for range 4 {
						_ = app.send(app.spans(10, 0))
						_ = app.post(app.spans(5, 0))
					}
					if round < 3 { // several requests, not one at the end
						eventually(t, "a request reaches the backend", func() bool { return c.dropped != nil || backend.Requests() > before })
					}
				}
				eventually(t, "a request reaches the backend", func() bool { return backend.Requests() > 0 })
				if c.retried {
					eventually(t, "a request is tried again", func() bool { return p.metric(`novawire_sidecar_retries_total{signal="traces"}`) > 0 })
				}
				e := p.stop()["traces"]
				if app.accepted.Load() != 6*4*15 {
					t.Errorf("accepted %d, want all %d", app.accepted.Load(), 6*4*15)
				}
				reconcile(t, app, e, backend, "traces")
				drops(t, e, c.dropped...)
			})
		}
	}
}

// A pod that ends has no time for the pause that a backend asks for.
func TestDrain_IgnoresRetryAfter(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	backend.Misbehave(func(request int) fakeotlp.Fault {
		if request < 3 {
			return fakeotlp.Fault{Refuse: fakeotlp.Limited, RetryAfter: time.Minute}
		}
		return fakeotlp.Fault{}
	})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC)...)
	app := newClient(t, p.otlp)
	_ = app.send(app.spans(10, 0))
	eventually(t, "the backend has asked", func() bool { return backend.Requests() == 1 })
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	drops(t, e)
}
