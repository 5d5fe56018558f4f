package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mayWatchSecrets asks the API server whether this program may list and watch the
// Secrets of all namespaces. Every account may ask about itself.
func mayWatchSecrets(ctx context.Context, c client.Writer) (bool, error) {
	for _, verb := range []string{"list", "watch"} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Version: "v1", Resource: "secrets"},
		}}
		if err := c.Create(ctx, review); err != nil {
			return false, fmt.Errorf("ask for the right to %s Secrets: %w", verb, err)
		}
		if !review.Status.Allowed {
			return false, nil
		}
	}
	return true, nil
}

// rightsInterval is the time between two questions about the right to watch Secrets.
const rightsInterval = time.Minute

var errRightsChanged = errors.New("the right to watch Secrets was granted or withdrawn")

// secretRights stops the manager of the controllers when the right to watch Secrets
// changes: it watches them from its start, or never.
type secretRights struct {
	client   client.Writer
	watched  bool
	interval time.Duration
}

// mayWatch asks whether the right exists now.
func (r secretRights) mayWatch(ctx context.Context) (bool, error) {
	return mayWatchSecrets(ctx, r.client)
}

// Start implements [sigs.k8s.io/controller-runtime/pkg/manager.Runnable].
func (r secretRights) Start(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, r.interval, false, func(ctx context.Context) (bool, error) {
		allowed, err := r.mayWatch(ctx)
		if err != nil {
			slog.Debug("right to watch Secrets is unknown", "error", err)
			return false, nil //nolint:nilerr // asked again
		}
		return allowed != r.watched, nil
	})
	if err != nil {
		return nil //nolint:nilerr // the context ended
	}
	return errRightsChanged
}
