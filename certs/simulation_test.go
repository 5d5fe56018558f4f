package certs_test

import (
	"bytes"
	crand "crypto/rand"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nova/novawire/certs"
)

// The simulation runs the rotation protocol with random interleavings. Replicas stop
// between any two steps of a reconciliation, restart without their leaf, and lose the
// stored authorities. API servers load a bundle late. At every moment every API server
// must trust every leaf that is served.
//
// A tick is a second. Lifetimes are short, so that a run covers about fifty rotations.
var simulationPolicy = certs.Policy{Authority: 360 * time.Second, Leaf: 90 * time.Second, Settle: 15 * time.Second, Skew: 5 * time.Second}

const ticks = 10_000

func TestSimulation(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := &simulation{T: t, Rand: rand.New(rand.NewPCG(seed, seed)), now: start, bundles: make([]certs.Bundle, 2)}
			for range 3 {
				w.replicas = append(w.replicas, &simulatedReplica{simulation: w})
				w.servers = append(w.servers, &simulatedServer{})
			}
			for range ticks {
				w.tick()
				if t.Failed() {
					return
				}
			}
			t.Logf("%d authorities, %d leaves, %d losses of the Secret", w.created, w.issued, w.losses)
			if w.created < 20 || w.issued < 200 {
				t.Error("the simulation did not rotate")
			}
		})
	}
}

type simulation struct {
	*testing.T
	*rand.Rand
	now                     time.Time
	authorities             certs.Authorities // the Secret
	version                 int               // its resourceVersion
	bundles                 []certs.Bundle    // one configuration with two webhooks
	published               int               // its resourceVersion
	replicas                []*simulatedReplica
	servers                 []*simulatedServer
	created, issued, losses int
	lastLoss                time.Time
}

// simulatedServer is an API server that notices a bundle up to the settling time late.
type simulatedServer struct {
	sees    []certs.Bundle
	pending []notice
}

type notice struct {
	at      time.Time
	bundles []certs.Bundle
}

func (w *simulation) tick() {
	w.now = w.now.Add(time.Second)
	for _, s := range w.servers {
		for len(s.pending) > 0 && !w.now.Before(s.pending[0].at) {
			s.sees, s.pending = s.pending[0].bundles, s.pending[1:]
		}
	}
	if w.IntN(700) == 0 && w.now.Sub(w.lastLoss) > simulationPolicy.Leaf {
		w.authorities, w.lastLoss = nil, w.now
		w.version++
		w.losses++
	}
	for _, r := range w.replicas {
		if w.IntN(500) == 0 && w.now.Sub(w.lastLoss) > simulationPolicy.Leaf {
			*r = simulatedReplica{simulation: w} // it restarts
		}
		r.act()
	}
	for i, s := range w.servers {
		for j, r := range w.replicas {
			w.check(i, s, j, r)
		}
	}
}

func (w *simulation) check(i int, s *simulatedServer, j int, r *simulatedReplica) {
	if r.leaf == nil || !certs.Valid(r.leaf, w.now) {
		return // not ready
	}
	for k, bundle := range s.sees {
		if !trusts(bundle, r.leaf, w.now) {
			w.Errorf("%v: API server %d does not trust replica %d by bundle %d of %d authorities", w.now.Sub(start), i, j, k, len(bundle))
		}
	}
}

// trusts reports whether the bundle contains the issuer of the leaf. It does not
// verify the signature, which other tests do.
func trusts(bundle certs.Bundle, leaf *x509.Certificate, now time.Time) bool {
	for _, a := range bundle {
		if bytes.Equal(a.SubjectKeyId, leaf.AuthorityKeyId) && certs.Valid(a, now) {
			return true
		}
	}
	return false
}

// simulatedReplica is a replica between two steps of a round.
type simulatedReplica struct {
	*simulation
	leaf    *x509.Certificate
	step    int
	paused  time.Time
	began   time.Time
	bundles []certs.Bundle
	at      int // version of what was read
	stored  certs.Authorities
	version int
}

func (r *simulatedReplica) act() {
	if r.now.Before(r.paused) {
		return
	}
	if r.IntN(300) == 0 {
		r.paused = r.now.Add(time.Duration(r.IntN(200)) * time.Second)
		return
	}
	switch r.step {
	case 0:
		r.began, r.bundles, r.at = r.now, append([]certs.Bundle(nil), r.simulation.bundles...), r.published
	case 1:
		r.stored, r.version = r.authorities, r.simulation.version
	case 2:
		r.decide()
	}
	r.step = (r.step + 1) % 3
}

func (r *simulatedReplica) decide() {
	if r.now.Sub(r.began) > simulationPolicy.Skew {
		return
	}
	next, changes, err := r.stored.Advance("test", certs.Observation{Now: r.began, Bundles: r.bundles}, simulationPolicy, crand.Reader)
	if err != nil {
		r.Fatal(err)
	}
	if len(changes) > 0 {
		if r.version == r.simulation.version {
			r.authorities = next
			r.simulation.version++
			r.created += count(changes, certs.Created)
		}
		return
	}
	trusted := next.Trusted(r.began, simulationPolicy)
	if !same(trusted, r.bundles[0]) || !same(trusted, r.bundles[1]) {
		r.publish(trusted)
		return
	}
	if r.leaf != nil && !certs.RenewalDue(r.leaf, r.began) {
		return
	}
	if signer, ok := next.Signer(r.began); ok {
		r.leaf = leafBy(r.T, signer, r.began)
		r.issued++
	}
}

func (r *simulatedReplica) publish(trusted certs.Bundle) {
	if r.at != r.published {
		return
	}
	r.simulation.bundles = []certs.Bundle{trusted, trusted}
	r.published++
	for _, s := range r.servers {
		at := r.now.Add(time.Duration(r.IntN(int(simulationPolicy.Settle/time.Second))) * time.Second)
		if n := len(s.pending); n > 0 && at.Before(s.pending[n-1].at) {
			at = s.pending[n-1].at // a watch delivers in order
		}
		s.pending = append(s.pending, notice{at, r.simulation.bundles})
	}
}

func leafBy(t *testing.T, a certs.Authority, now time.Time) *x509.Certificate {
	issued, err := a.Issue([]string{"webhook.nova.svc"}, now, simulationPolicy, crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Leaf
}

func same(a, b certs.Bundle) bool { return bytes.Equal(a.PEM(), b.PEM()) }

func count(changes []certs.Change, step certs.Step) (n int) {
	for _, c := range changes {
		if c.Step == step {
			n++
		}
	}
	return n
}
