// Package smoke checks a deployment from outside, by HTTP: metrics, health, a trace
// and a log line of each service, and the age of backups. It knows no Kubernetes: the
// caller says where the services are.
package smoke

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Counters are the P0 indicators of Nova's services.
var Counters = []string{"http_server_errors_total", "grpc_client_errors_total", "redis_timeout_total"}

// Service is one service and where its endpoints are.
type Service struct {
	Namespace, Name string
	// MetricsURL, HealthURL and ReadyURL are the endpoints. An empty one is not
	// checked.
	MetricsURL, HealthURL, ReadyURL string
	// RequestURL is what a request with a trace context is sent to; "" sends none.
	RequestURL string
	// Problem is why the service cannot be checked, for example that no pod runs.
	Problem string
	// LogLabel is the value of the pod's label for structured logs.
	LogLabel string
	// Logs opens what the service has logged since a time. Nil skips the check.
	Logs func(ctx context.Context, since time.Time) (io.ReadCloser, error)
}

// Backup is what is known about the backups of one database.
type Backup struct {
	Namespace, StatefulSet, Database string
	LastSuccess                      *time.Time
	// Suspended is the reason why no backup runs; a suspended one is not checked.
	Suspended string
	// Refused lists settings that were refused.
	Refused []string
}

// TraceBackend finds traces.
type TraceBackend interface {
	// Services returns the names of the services that have spans of the trace; none if
	// the backend does not have the trace.
	Services(ctx context.Context, traceID string) ([]string, error)
}

// Options say what is checked and for how long.
type Options struct {
	Services []Service
	Backups  []Backup
	// Client sends the requests. Its timeout holds for each.
	Client *http.Client
	// Counters have to be in each service's metrics.
	Counters []string
	// Traces is where traces arrive; nil skips the check.
	Traces TraceBackend
	// BackupAge is how old the last backup may be.
	BackupAge time.Duration
	// Now returns the current time.
	Now func() time.Time
	// Wait is for how long a check that fails is repeated, each Interval. Zero tries
	// once.
	Wait, Interval time.Duration
	// Skip names kinds of checks that are left out.
	Skip []string
}

// Kinds of checks.
const (
	KindMetrics = "metrics"
	KindHealth  = "health"
	KindReady   = "ready"
	KindTrace   = "trace"
	KindLogs    = "logs"
	KindBackup  = "backup"
)

// Kinds returns all kinds of checks.
func Kinds() []string {
	return []string{KindMetrics, KindHealth, KindReady, KindTrace, KindLogs, KindBackup}
}

// Status is the outcome of a check.
type Status string

// The outcomes.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Result is one check and its outcome.
type Result struct {
	Namespace string  `json:"namespace"`
	Target    string  `json:"target"` // a service, or statefulset/database
	Check     string  `json:"check"`
	Status    Status  `json:"status"`
	Message   string  `json:"message,omitempty"` // why it failed or was skipped
	Seconds   float64 `json:"seconds"`
}

// check is one check of one target. A skip is a reason not to run it.
type check struct {
	namespace, target, kind, skip string
	run                           func(ctx context.Context) error
}

// Run runs all checks at once and returns their results in a fixed order: services
// as given, then backups.
func Run(ctx context.Context, o Options) []Result {
	var checks []check
	for _, s := range o.Services {
		checks = append(checks, o.serviceChecks(s)...)
	}
	for _, b := range o.Backups {
		checks = append(checks, o.backupCheck(b))
	}
	checks = slices.DeleteFunc(checks, func(c check) bool { return slices.Contains(o.Skip, c.kind) })
	results := make([]Result, len(checks))
	var running sync.WaitGroup
	for i, c := range checks {
		running.Go(func() { results[i] = o.result(ctx, c) })
	}
	running.Wait()
	return results
}

// OK reports whether no check failed and at least one passed.
func OK(results []Result) bool {
	passed := false
	for _, r := range results {
		if r.Status == Failed {
			return false
		}
		passed = passed || r.Status == Passed
	}
	return passed
}

// result runs a check, again until it passes or Wait is over.
func (o Options) result(ctx context.Context, c check) Result {
	r := Result{Namespace: c.namespace, Target: c.target, Check: c.kind}
	if c.skip != "" {
		r.Status, r.Message = Skipped, c.skip
		return r
	}
	start := time.Now()
	deadline := time.NewTimer(o.Wait)
	defer deadline.Stop()
	for {
		err := c.run(ctx)
		r.Seconds = time.Since(start).Seconds()
		if err == nil {
			r.Status, r.Message = Passed, ""
			return r
		}
		r.Status, r.Message = Failed, err.Error()
		if o.Wait == 0 {
			return r
		}
		select {
		case <-ctx.Done():
			return r
		case <-deadline.C:
			return r
		case <-time.After(o.Interval):
		}
	}
}
