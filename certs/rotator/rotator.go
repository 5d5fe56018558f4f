// Package rotator keeps a webhook's serving certificate valid and trusted. The
// authorities live in a Secret that all replicas share by optimistic
// concurrency; each replica signs its own leaf and keeps it in memory; every
// caBundle of the selected webhook configurations holds what package certs says
// it must. Nothing is elected: any replica does whatever is due.
//
// It serves nothing itself: [Rotator.TLS] goes into a server's tls.Config.
package rotator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/certs/expiry"
)

// Settings are what a rotator works with. All are needed.
type Settings struct {
	// Namespace and Secret name where the authorities are kept.
	Namespace, Secret string
	// Names are the DNS names and IP addresses that the leaf is valid for.
	Names []string
	// Webhooks picks the webhook configurations, mutating and validating, whose
	// every caBundle is kept.
	Webhooks Selection
	Policy   certs.Policy
	// Interval is how often the rotator looks without being woken by a change.
	Interval time.Duration
	Now      func() time.Time
	Random   io.Reader
	Log      logr.Logger
	Metrics  *expiry.Metrics
}

// Selection is by name, by labels, or by both. The rights to list and watch may
// be as narrow as the name.
type Selection struct {
	Name   string
	Labels labels.Selector
}

// Rotator is a manager's Runnable that works on every replica.
type Rotator struct {
	Settings
	clock  *clock
	client client.Client
	watch  cache.Cache
	wake   chan struct{}

	leaf   atomic.Pointer[tls.Certificate]
	issue  sync.Mutex // one at a time, and it guards refusal
	refuse refusal
}

// New returns a rotator that reaches the API server by a copy of config. It
// does not talk to it yet.
func New(config *rest.Config, settings Settings) (*Rotator, error) {
	if err := settings.Policy.Validate(); err != nil {
		return nil, fmt.Errorf("read certificate policy: %w", err)
	}
	if len(settings.Names) == 0 || settings.Webhooks == (Selection{}) {
		return nil, errors.New("a rotator needs names and a selection of webhook configurations")
	}
	r := &Rotator{Settings: settings, clock: &clock{local: settings.Now}, wake: make(chan struct{}, 1)}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return dated{next, r.clock, r.Policy.Skew} })
	var err error
	if r.client, err = client.New(config, client.Options{Scheme: scheme, Mapper: mapper}); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if r.watch, err = r.newWatch(config); err != nil {
		return nil, fmt.Errorf("prepare watches: %w", err)
	}
	return r, nil
}

// NeedLeaderElection is false: every replica needs a leaf of its own.
func (r *Rotator) NeedLeaderElection() bool { return false }

// Start works until the context ends. Errors are logged, counted and tried
// again: a leaf that is valid goes on being served meanwhile.
func (r *Rotator) Start(ctx context.Context) error {
	stopped, err := r.startWatch(ctx)
	if err != nil {
		return fmt.Errorf("watch certificates: %w", err)
	}
	const firstRetry = time.Second
	pace := flowcontrol.NewTokenBucketRateLimiter(1, 10) // whoever overwrites a caBundle as fast as he can
	for retry := min(firstRetry, r.Interval); ; {
		wait := r.Interval
		if err := r.converge(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error(err, "certificates did not converge")
			r.Metrics.Failed(r.clock.now())
			wait, retry = retry, min(2*retry, r.Interval)
		} else {
			retry = min(firstRetry, r.Interval)
		}
		select {
		case <-ctx.Done():
			return <-stopped
		case <-r.wake:
			_ = pace.Wait(ctx) // it ends early with the context alone
		case <-time.After(wait):
		}
	}
}

// TLS makes a server serve the leaf, over TLS 1.3 and nothing older.
func (r *Rotator) TLS(config *tls.Config) {
	config.MinVersion = tls.VersionTLS13
	config.GetCertificate = r.GetCertificate
}

// Ready is a readiness check: a valid leaf that clients can trust is there.
func (r *Rotator) Ready(*http.Request) error {
	if leaf := r.leaf.Load(); leaf == nil || !certs.Valid(leaf.Leaf, r.clock.now()) {
		return errors.New("no valid serving certificate yet")
	}
	return nil
}
