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

// The simulation plays the protocol by its rules, in every order that chance
// finds: replicas stop between any two steps of a round, start again without
// their leaf, lose the stored authorities; API servers notice a bundle late. At
// every moment every API server must trust every leaf that is served.
//
// A tick is a second. Lives are short so that a run sees some fifty rotations.
var brief = certs.Policy{Authority: 360 * time.Second, Leaf: 90 * time.Second, Settle: 15 * time.Second, Skew: 5 * time.Second}

const ticks = 10_000

func TestEveryServedLeafIsTrustedAtEveryMoment(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := &world{T: t, Rand: rand.New(rand.NewPCG(seed, seed)), now: birth, bundles: make([]certs.Bundle, 2)}
			for range 3 {
				w.replicas = append(w.replicas, &simulated{world: w})
				w.servers = append(w.servers, &server{})
			}
			for range ticks {
				w.tick()
				if t.Failed() {
					return
				}
			}
			t.Logf("%d authorities, %d leaves, %d losses of the Secret", w.minted, w.issued, w.losses)
			if w.minted < 20 || w.issued < 200 {
				t.Error("the simulation did not rotate")
			}
		})
	}
}

type world struct {
	*testing.T
	*rand.Rand
	now                    time.Time
	authorities            certs.Authorities // the Secret
	version                int               // its resourceVersion
	bundles                []certs.Bundle    // one configuration with two webhooks
	published              int               // its resourceVersion
	replicas               []*simulated
	servers                []*server
	minted, issued, losses int
	lastLoss               time.Time
}

// server is an API server that notices a bundle up to the settling time late.
type server struct {
	sees    []certs.Bundle
	pending []notice
}

type notice struct {
	at      time.Time
	bundles []certs.Bundle
}

func (w *world) tick() {
	w.now = w.now.Add(time.Second)
	for _, s := range w.servers {
		for len(s.pending) > 0 && !w.now.Before(s.pending[0].at) {
			s.sees, s.pending = s.pending[0].bundles, s.pending[1:]
		}
	}
	if w.IntN(700) == 0 && w.now.Sub(w.lastLoss) > brief.Leaf {
		w.authorities, w.lastLoss = nil, w.now
		w.version++
		w.losses++
	}
	for _, r := range w.replicas {
		if w.IntN(500) == 0 && w.now.Sub(w.lastLoss) > brief.Leaf {
			*r = simulated{world: w} // it starts again
		}
		r.act()
	}
	for i, s := range w.servers {
		for j, r := range w.replicas {
			w.check(i, s, j, r)
		}
	}
}

func (w *world) check(i int, s *server, j int, r *simulated) {
	if r.leaf == nil || !certs.Valid(r.leaf, w.now) {
		return // not ready
	}
	for k, bundle := range s.sees {
		if !trusts(bundle, r.leaf, w.now) {
			w.Errorf("%v: API server %d does not trust replica %d by bundle %d of %d authorities", w.now.Sub(birth), i, j, k, len(bundle))
		}
	}
}

// trusts is verification without its arithmetic, which others test.
func trusts(bundle certs.Bundle, leaf *x509.Certificate, now time.Time) bool {
	for _, a := range bundle {
		if bytes.Equal(a.SubjectKeyId, leaf.AuthorityKeyId) && certs.Valid(a, now) {
			return true
		}
	}
	return false
}

// simulated is a replica between two steps of a round.
type simulated struct {
	*world
	leaf    *x509.Certificate
	step    int
	paused  time.Time
	began   time.Time
	bundles []certs.Bundle
	at      int // version of what was read
	stored  certs.Authorities
	version int
}

func (r *simulated) act() {
	if r.now.Before(r.paused) {
		return
	}
	if r.IntN(300) == 0 {
		r.paused = r.now.Add(time.Duration(r.IntN(200)) * time.Second)
		return
	}
	switch r.step {
	case 0:
		r.began, r.bundles, r.at = r.now, append([]certs.Bundle(nil), r.world.bundles...), r.published
	case 1:
		r.stored, r.version = r.authorities, r.world.version
	case 2:
		r.decide()
	}
	r.step = (r.step + 1) % 3
}

func (r *simulated) decide() {
	if r.now.Sub(r.began) > brief.Skew {
		return
	}
	next, changes, err := r.stored.Advance("test", certs.Observation{Now: r.began, Bundles: r.bundles}, brief, crand.Reader)
	if err != nil {
		r.Fatal(err)
	}
	if len(changes) > 0 {
		if r.version == r.world.version {
			r.authorities = next
			r.world.version++
			r.minted += count(changes, certs.Minted)
		}
		return
	}
	trusted := next.Trusted(r.began, brief)
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

func (r *simulated) publish(trusted certs.Bundle) {
	if r.at != r.published {
		return
	}
	r.world.bundles = []certs.Bundle{trusted, trusted}
	r.published++
	for _, s := range r.servers {
		at := r.now.Add(time.Duration(r.IntN(int(brief.Settle/time.Second))) * time.Second)
		if n := len(s.pending); n > 0 && at.Before(s.pending[n-1].at) {
			at = s.pending[n-1].at // a watch keeps the order
		}
		s.pending = append(s.pending, notice{at, r.world.bundles})
	}
}

func leafBy(t *testing.T, a certs.Authority, now time.Time) *x509.Certificate {
	issued, err := a.Issue([]string{"webhook.nova.svc"}, now, brief, crand.Reader)
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
