package rotator

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/nova/novawire/certs"
)

// maxAttempts limits the steps of one reconciliation. A rotation takes four; the rest
// is for conflicts with other replicas.
const maxAttempts = 20

// reconcile calls reconcileOnce until nothing is left to do.
func (r *Rotator) reconcile(ctx context.Context) error {
	for range maxAttempts {
		done, err := r.reconcileOnce(ctx)
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, errClockUnreliable) {
			continue // another replica was faster, or the clock moved: try again
		}
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("reconcile certificates: not finished after %d attempts", maxAttempts)
}

// reconcileOnce reads the state of the cluster and takes one step. It must read the
// time first, then the configurations, then the Secret. Each write carries the
// resourceVersion that was read, so a replica that was paused or is late never undoes
// the work of others.
func (r *Rotator) reconcileOnce(ctx context.Context) (done bool, err error) {
	began := r.clock.read()
	configurations, err := r.configurations(ctx)
	if err != nil {
		return false, err
	}
	stored, err := r.load(ctx)
	if err != nil {
		return false, err
	}
	now, err := r.clock.at(began, r.Policy.Skew)
	if err != nil {
		return false, err
	}
	observed := certs.Observation{Now: now, Bundles: bundles(configurations)}
	next, changes, err := stored.authorities.Advance(r.Secret, observed, r.Policy, r.Random)
	if err != nil {
		return false, err
	}
	if len(changes) > 0 || stored.damaged {
		return false, r.saveChanges(ctx, stored, next, changes)
	}
	if published, err := r.publish(ctx, configurations, next.Trusted(now, r.Policy)); published || err != nil {
		return false, err
	}
	return true, r.renew(next, now)
}

// saveChanges stores the authorities, then logs and counts what changed.
func (r *Rotator) saveChanges(ctx context.Context, stored stored, next certs.Authorities, changes []certs.Change) error {
	if err := r.save(ctx, stored, next); err != nil {
		return err
	}
	for _, change := range changes {
		a := change.Authority
		r.Log.Info("authority changed", "step", change.Step, "authority", a.Certificate.Subject.CommonName,
			"expires", a.Certificate.NotAfter, "signsFrom", a.SignsFrom)
		r.Metrics.CountRotation(string(change.Step))
	}
	return nil
}
