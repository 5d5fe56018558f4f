package rotator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/nova/novawire/certs"
)

// errNoSigner is what a replica without a leaf answers while an authority that
// replaces a lost one is being published.
var errNoSigner = errors.New("no authority may sign yet")

// refusal spares the API server from handshakes that cannot succeed.
type refusal struct {
	err   error
	until time.Time
}

const (
	refusalTime  = time.Second
	issueTimeout = 3 * time.Second // an API server waits no longer for a webhook
)

// GetCertificate returns the leaf. One that is not valid at this moment, because
// the process was paused or a clock jumped, is replaced within the handshake.
func (r *Rotator) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if leaf := r.valid(); leaf != nil {
		return leaf, nil
	}
	r.issue.Lock()
	defer r.issue.Unlock()
	if leaf := r.valid(); leaf != nil {
		return leaf, nil
	}
	if time.Now().Before(r.refuse.until) {
		return nil, r.refuse.err
	}
	ctx, cancel := context.WithTimeout(hello.Context(), issueTimeout)
	defer cancel()
	if err := r.issueNow(ctx); err != nil {
		r.refuse = refusal{fmt.Errorf("issue a certificate for this handshake: %w", err), time.Now().Add(refusalTime)}
		return nil, r.refuse.err
	}
	return r.leaf.Load(), nil
}

func (r *Rotator) valid() *tls.Certificate {
	if leaf := r.leaf.Load(); leaf != nil && certs.Valid(leaf.Leaf, r.clock.now()) {
		return leaf
	}
	return nil
}

// issueNow reads the authorities, the time before them, and signs unless the
// leaf turns out to be valid: reading has also set the clock right.
func (r *Rotator) issueNow(ctx context.Context) error {
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

// renew replaces the leaf in good time, and at once where its authority is gone.
// Where nothing may sign yet, a leaf that is still valid stays.
func (r *Rotator) renew(authorities certs.Authorities, now time.Time) error {
	r.issue.Lock()
	defer r.issue.Unlock()
	return r.renewLocked(authorities, now)
}

func (r *Rotator) renewLocked(authorities certs.Authorities, now time.Time) error {
	leaf := r.valid()
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
	r.refuse = refusal{}
	r.Metrics.Rotated("issued")
	r.Metrics.Serves(leaf.Leaf)
	r.Metrics.Signs(signer.Certificate)
	r.Log.Info("leaf issued", "authority", signer.Certificate.Subject.CommonName, "expires", leaf.Leaf.NotAfter)
	return nil
}
