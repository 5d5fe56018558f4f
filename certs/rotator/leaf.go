package rotator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/nova/novawire/certs"
)

// errNoSigner is returned while the authority that replaces a lost one is being
// published.
var errNoSigner = errors.New("no authority may sign yet")

// recentFailure is the last error of a handshake. It is returned for failureTTL, so
// that handshakes that cannot succeed do not load the API server.
type recentFailure struct {
	err   error
	until time.Time
}

const (
	failureTTL   = time.Second
	issueTimeout = 3 * time.Second // timeoutSeconds of the webhooks
)

// GetCertificate returns the leaf. If the leaf is not valid, because the process was
// paused or a clock jumped, it is replaced during the handshake.
func (r *Rotator) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if leaf := r.validLeaf(); leaf != nil {
		return leaf, nil
	}
	r.issueLock.Lock()
	defer r.issueLock.Unlock()
	if leaf := r.validLeaf(); leaf != nil {
		return leaf, nil
	}
	if time.Now().Before(r.lastFailure.until) {
		return nil, r.lastFailure.err
	}
	ctx, cancel := context.WithTimeout(hello.Context(), issueTimeout)
	defer cancel()
	if err := r.issueForHandshake(ctx); err != nil {
		r.lastFailure = recentFailure{fmt.Errorf("issue a certificate for this handshake: %w", err), time.Now().Add(failureTTL)}
		return nil, r.lastFailure.err
	}
	return r.leaf.Load(), nil
}

func (r *Rotator) validLeaf() *tls.Certificate {
	if leaf := r.leaf.Load(); leaf != nil && certs.Valid(leaf.Leaf, r.clock.now()) {
		return leaf
	}
	return nil
}

// issueForHandshake reads the time and the authorities and signs a new leaf. Reading
// also corrects the clock, so the leaf may turn out to be valid; then it stays.
func (r *Rotator) issueForHandshake(ctx context.Context) error {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		began := r.clock.read()
		stored, err := r.load(ctx)
		if err != nil {
			return err
		}
		now, err := r.clock.at(began, r.Policy.Skew)
		if err == nil {
			return r.renewLocked(stored.authorities, now)
		}
		if attempt == attempts {
			return err
		}
	}
}

// renew replaces the leaf if it is due for renewal or its authority was removed. If
// no authority may sign yet, a leaf that is still valid stays.
func (r *Rotator) renew(authorities certs.Authorities, now time.Time) error {
	r.issueLock.Lock()
	defer r.issueLock.Unlock()
	return r.renewLocked(authorities, now)
}

func (r *Rotator) renewLocked(authorities certs.Authorities, now time.Time) error {
	leaf := r.validLeaf()
	if leaf != nil && !certs.RenewalDue(leaf.Leaf, now) && authorities.Signed(leaf.Leaf) {
		return nil
	}
	err := r.sign(authorities, now)
	if errors.Is(err, errNoSigner) && leaf != nil {
		return nil
	}
	return err
}

func (r *Rotator) sign(authorities certs.Authorities, now time.Time) error {
	signer, ok := authorities.Signer(now)
	if !ok {
		return errNoSigner
	}
	leaf, err := signer.Issue(r.Names, now, r.Policy, r.Random)
	if err != nil {
		return err
	}
	r.leaf.Store(leaf)
	r.lastFailure = recentFailure{}
	r.Metrics.CountRotation("issued")
	r.Metrics.SetLeaf(leaf.Leaf)
	r.Metrics.SetAuthority(signer.Certificate)
	r.Log.Info("leaf issued", "authority", signer.Certificate.Subject.CommonName, "expires", leaf.Leaf.NotAfter)
	return nil
}
