package exporter

import (
	"context"
	"time"
)

// outcome is what the backend made of one request.
type outcome struct {
	verdict  verdict
	rejected int           // of an exported request: items that the backend refused
	after    time.Duration // of a busy backend: when it asks to be tried again
	err      error
}

type verdict int

const (
	exported verdict = iota
	retryable
	permanent
)

// sender carries one request to the backend. It ends with the context, and it
// never answers exported unless the backend acknowledged the whole request.
type sender interface {
	send(ctx context.Context, batch []item) outcome
	close()
}
