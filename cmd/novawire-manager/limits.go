package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/nova/novawire/webhook"
)

// limitsWatch watches the LimitRanges and ResourceQuotas of all namespaces. It has a cache
// of its own, because nothing may wait for it: an installation that does not grant the
// right wires pods without regard to limits.
type limitsWatch struct {
	cache    cache.Cache
	known    webhook.CachedLimits
	handlers []toolscache.ResourceEventHandlerRegistration
	failed   atomic.Bool
	denied   atomic.Bool // it was logged
}

func newLimitsWatch(ctx context.Context, mgr manager.Manager) (*limitsWatch, error) {
	l := &limitsWatch{}
	var err error
	l.cache, err = cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		DefaultTransform: cache.TransformStripManagedFields(), DefaultWatchErrorHandler: l.watchFailed,
	})
	if err != nil {
		return nil, fmt.Errorf("create the cache of limits: %w", err)
	}
	for _, kind := range webhook.LimitObjects() {
		informer, err := l.cache.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", kind, err)
		}
		handler, err := informer.AddEventHandler(l.known.Handler())
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", kind, err)
		}
		l.handlers = append(l.handlers, handler)
	}
	if err := mgr.Add(l); err != nil {
		return nil, fmt.Errorf("add the watch of limits: %w", err)
	}
	return l, mgr.AddReadyzCheck("limits", l.ready)
}

// Start implements [manager.Runnable].
func (l *limitsWatch) Start(ctx context.Context) error { return l.cache.Start(ctx) }

// NeedLeaderElection returns false: every replica answers reviews.
func (l *limitsWatch) NeedLeaderElection() bool { return false }

func (l *limitsWatch) watchFailed(ctx context.Context, r *toolscache.Reflector, err error) {
	l.failed.Store(true)
	if !apierrors.IsForbidden(err) {
		toolscache.DefaultWatchErrorHandler(ctx, r, err)
		return
	}
	if !l.denied.Swap(true) {
		slog.Warn("LimitRanges and ResourceQuotas may not be read: a pod is refused where they do not admit the sidecar", "error", err)
	}
}

var errLimitsUnknown = errors.New("the limits of namespaces are not known yet")

// ready is a readiness check: a new replica gets no reviews before it knows the limits, or
// has tried to read them.
func (l *limitsWatch) ready(*http.Request) error {
	for _, handler := range l.handlers {
		if !handler.HasSynced() && !l.failed.Load() {
			return errLimitsUnknown
		}
	}
	return nil
}
