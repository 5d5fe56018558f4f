package agent

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
)

// store has the objects of one resource, trimmed to what decide reads, and follows the
// API server.
type store[T runtime.Object] struct {
	cache.Store
	lists   cache.ListerWatcher
	object  T             // any object of the resource
	changed chan struct{} // shared with the cluster
	listed  atomic.Bool
}

func newStore[T runtime.Object](lists cache.ListerWatcher, object T, changed chan struct{}) *store[T] {
	return &store[T]{Store: cache.NewStore(cache.DeletionHandlingMetaNamespaceKeyFunc), lists: lists, object: object, changed: changed}
}

// retries returns how long the store waits after failed requests. The default of
// client-go grows to a minute: after an outage new pods would be undecided for so long
// although the API server answers.
func retries() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Cap: 10 * time.Second, Steps: 10}
}

// follow lists and watches until ctx ends.
func (s *store[T]) follow(ctx context.Context) {
	cache.NewReflectorWithOptions(s.lists, s.object, s, cache.ReflectorOptions{Backoff: retries()}).RunWithContext(ctx)
}

// find returns an object by its namespace, if it has one, and its name.
func (s *store[T]) find(key string) (T, bool) {
	object, _, _ := s.GetByKey(key) // the store is in memory: there is no error
	found, ok := object.(T)
	return found, ok
}

// Transformer implements [cache.TransformingStore].
func (*store[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return trim(object), nil }
}

// Add implements [cache.ReflectorStore].
func (s *store[T]) Add(object any) error { return s.put(object, s.Store.Add) }

// Update implements [cache.ReflectorStore].
func (s *store[T]) Update(object any) error { return s.put(object, s.Store.Update) }

// Delete implements [cache.ReflectorStore].
func (s *store[T]) Delete(object any) error { return s.put(object, s.Store.Delete) }

// Replace implements [cache.ReflectorStore].
func (s *store[T]) Replace(objects []any, version string) error {
	small := make([]any, 0, len(objects))
	for _, object := range objects {
		small = append(small, trim(object))
	}
	err := s.Store.Replace(small, version)
	s.listed.Store(err == nil)
	s.notify()
	return err
}

func (s *store[T]) put(object any, in func(any) error) error {
	err := in(trim(object))
	s.notify()
	return err
}

func (s *store[T]) notify() {
	select {
	case s.changed <- struct{}{}:
	default: // an update is due already
	}
}
