// Package rotator keeps the serving certificate of a webhook valid and trusted. All
// replicas share a Secret with the authorities and write it with optimistic
// concurrency. Each replica signs its own leaf and keeps it in memory. The rotator
// writes the trusted authorities to every caBundle of the selected webhook
// configurations. There is no leader: any replica takes any step that is due.
//
// The package does not serve TLS itself; [Rotator.TLS] configures a server.
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

// Settings configure a Rotator. All are required.
type Settings struct {
	// Namespace and Secret name the Secret that stores the authorities.
	Namespace, Secret string
	// Names are the DNS names and IP addresses that the leaf is valid for.
	Names []string
	// Webhooks selects the webhook configurations, mutating and validating, whose
	// caBundles the rotator writes.
	Webhooks Selection
	Policy   certs.Policy
	// Interval is the time between two reconciliations without a change.
	Interval time.Duration
	Now      func() time.Time
	Random   io.Reader
	Log      logr.Logger
	Metrics  *expiry.Metrics
	// Warn reports what was healed, and that somebody should know of: as a warning in
	// the log and as an Event. The reason is one of the constants below.
	Warn func(ctx context.Context, reason, message string)
}

// Reasons of warnings.
const (
	SecretDeleted    = "CertificateSecretDeleted"
	SecretDamaged    = "CertificateSecretDamaged"
	ForeignAuthority = "ForeignAuthorityRemoved"
)

// Selection selects webhook configurations by name, by labels, or by both. With a
// name, RBAC can limit the rights to list and watch to that name.
type Selection struct {
	Name   string
	Labels labels.Selector
}

// Rotator rotates certificates. It is a manager's Runnable and runs on every replica.
type Rotator struct {
	Settings
	clock  *clock
	client client.Client
	watch  cache.Cache
	wake   chan struct{}

	leaf        atomic.Pointer[tls.Certificate]
	issueLock   sync.Mutex // one signature at a time; also guards lastFailure
	lastFailure recentFailure
}

// New returns a Rotator that connects with a copy of config. It does not call the
// API server yet.
func New(config *rest.Config, settings Settings) (*Rotator, error) {
	if err := settings.Policy.Validate(); err != nil {
		return nil, fmt.Errorf("read certificate policy: %w", err)
	}
	if len(settings.Names) == 0 || settings.Webhooks == (Selection{}) {
		return nil, errors.New("create rotator: names and a selection of webhook configurations are required")
	}
	r := &Rotator{Settings: settings, clock: &clock{local: settings.Now}, wake: make(chan struct{}, 1)}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return dateTransport{next, r.clock, r.Policy.Skew} })
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

// Start reconciles until the context ends. Errors are logged and counted, and the
// reconciliation is retried. A valid leaf is served in the meantime.
func (r *Rotator) Start(ctx context.Context) error {
	stopped, err := r.startWatch(ctx)
	if err != nil {
		return fmt.Errorf("watch certificates: %w", err)
	}
	const firstRetry = time.Second
	limiter := flowcontrol.NewTokenBucketRateLimiter(1, 10) // another tool may overwrite the caBundle continuously
	for retry := min(firstRetry, r.Interval); ; {
		wait := r.Interval
		if err := r.reconcile(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error(err, "certificate reconciliation failed")
			r.Metrics.SetLastError(r.clock.now())
			wait, retry = retry, min(2*retry, r.Interval)
		} else {
			retry = min(firstRetry, r.Interval)
		}
		select {
		case <-ctx.Done():
			return <-stopped
		case <-r.wake:
			_ = limiter.Wait(ctx) // the only error is that the context has ended
		case <-time.After(wait):
		}
	}
}

// TLS configures a server to serve the leaf, with TLS 1.3 or newer.
func (r *Rotator) TLS(config *tls.Config) {
	config.MinVersion = tls.VersionTLS13
	config.GetCertificate = r.GetCertificate
}

// Ready is a readiness check. It succeeds if a valid leaf is available.
func (r *Rotator) Ready(*http.Request) error {
	if leaf := r.leaf.Load(); leaf == nil || !certs.Valid(leaf.Leaf, r.clock.now()) {
		return errors.New("no valid serving certificate yet")
	}
	return nil
}
