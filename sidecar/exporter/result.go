package exporter

import (
	"context"
	"time"
)

// result is what the backend made of one request.
type result struct {
	outcome  outcome
	kind     string        // of a failure, such as a status code: failures of one kind are logged together
	rejected int           // of an exported request: items that the backend refused
	after    time.Duration // of a busy backend: how long it asks to wait
	err      error
}

type outcome int

const (
	exported    outcome = iota
	retryable           // a later attempt may succeed
	permanent           // no attempt will succeed
	tooLarge            // a smaller request may succeed
	interrupted         // the drain ended before the backend decided
)

// sender carries one request to the backend. It returns when the context ends, and it
// never returns exported unless the backend acknowledged the whole request.
type sender interface {
	send(ctx context.Context, r request) result
	close()
}
