package backup

import "context"

// Observer is told about the steps of a verb; [NoObserver] ignores them.
type Observer interface {
	// Step begins a step and returns the function that ends it.
	Step(ctx context.Context, name string, attributes ...string) (context.Context, func(error))
}

// NoObserver observes nothing.
type NoObserver struct{}

// Step implements [Observer].
func (NoObserver) Step(ctx context.Context, _ string, _ ...string) (context.Context, func(error)) {
	return ctx, func(error) {}
}
