package rotator

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/nova/novawire/certs"
)

// roundLimit bounds how often rounds follow each other at once: a rotation takes
// four, the rest is for replicas that were faster.
const roundLimit = 20

// converge takes rounds until there is nothing left to do now.
func (r *Rotator) converge(ctx context.Context) error {
	for range roundLimit {
		done, err := r.round(ctx)
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, errNoTime) {
			continue // another replica was faster, or the clock moved: look again
		}
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("nothing settled in %d rounds", roundLimit)
}

// round reads the world and takes one step. The order of reading is the point:
// the time, then the configurations, then the Secret. A write goes through only
// if what was read is still so, hence a replica that was paused, or is late,
// never undoes what others did.
func (r *Rotator) round(ctx context.Context) (done bool, err error) {
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
		return false, r.record(ctx, stored, next, changes)
	}
	if published, err := r.publish(ctx, configurations, next.Trusted(now, r.Policy)); published || err != nil {
		return false, err
	}
	return true, r.renew(next, now)
}

// record stores the authorities and tells what changed.
func (r *Rotator) record(ctx context.Context, stored stored, next certs.Authorities, changes []certs.Change) error {
	if err := r.save(ctx, stored, next); err != nil {
		return err
	}
	for _, change := range changes {
		a := change.Authority
		r.Log.Info("authority changed", "step", change.Step, "authority", a.Certificate.Subject.CommonName,
			"expires", a.Certificate.NotAfter, "signsFrom", a.SignsFrom)
		r.Metrics.Rotated(string(change.Step))
	}
	return nil
}
