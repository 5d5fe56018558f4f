package wire

import "context"

// Request is a request on its way through the collector's pipeline. The pipeline knows
// only decoded data, which this program never has; so the request goes in the context of
// an empty piece of data.
type Request struct {
	Body  []byte // valid until the call returns that was given it; nobody changes it in place
	Items int
	// Foreign says which resources, in their order, are of other pods; nil if none is.
	Foreign []bool
}

type contextKey struct{}

// NewContext returns a context with the request.
func NewContext(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// FromContext returns the request in the context. Without one it is empty.
func FromContext(ctx context.Context) Request {
	r, _ := ctx.Value(contextKey{}).(Request)
	return r
}
