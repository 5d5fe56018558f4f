//go:build cgo

package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/cloudwatchlogs"
	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/internal/version"
)

// state is a global because C cannot hold a Go value: Fluent Bit loads the
// library once and calls plain functions, however many instances it starts.
var state = &pluginState{
	log:      slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("plugin", "novawire"),
	limiters: map[string]*delivery.RateLimiter{},
}

// pluginState is what the instances of one process share.
type pluginState struct {
	log *slog.Logger

	mu             sync.Mutex
	outputs        []*fluentbit.Output
	limiters       map[string]*delivery.RateLimiter // by endpoint, region and role, which stand for an account
	metricsServers map[string]*metricsServer        // by address

	outputsByContext atomic.Pointer[map[unsafe.Pointer]*fluentbit.Output]
}

// open starts an output from its section of the configuration. Environment
// variables supply what the section leaves out, with the names of AWS's SDKs.
func (p *pluginState) open(get func(string) string) (*fluentbit.Output, error) {
	config, err := fluentbit.ParseConfig(withEnvironment(get))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	for _, mistake := range config.RedactMistakes {
		p.log.Warn("redact has a mistake", "id", config.ID, "error", mistake)
	}
	credentials, err := findCredentials(config)
	if err != nil {
		return nil, fmt.Errorf("find credentials: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := fluentbit.New(config, fluentbit.Settings{
		Service: &cloudwatchlogs.Client{
			Endpoint: config.Endpoint, Region: config.Region, Credentials: credentials,
			HTTP: newHTTP(), Timeout: config.RequestTimeout, Now: time.Now,
		},
		Clock:   delivery.Clock{Now: time.Now, Wait: wait},
		Limiter: p.limiter(config),
		Jitter:  func(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }, //nolint:gosec // it only spreads retries
		OnError: p.errorLogger(config.ID),
	})
	p.outputs = append(p.outputs, o)
	p.serveMetrics(config.Listen, o)
	p.log.Info("output started", "id", config.ID, "version", version.String(), "endpoint", config.Endpoint)
	return o, nil
}

// limiter returns the rate limiter that the instances of one account and region share.
func (p *pluginState) limiter(c fluentbit.Config) *delivery.RateLimiter {
	key := c.Endpoint + " " + c.Region + " " + c.Role
	if p.limiters[key] == nil {
		p.limiters[key] = delivery.NewRateLimiter()
	}
	return p.limiters[key]
}

func withEnvironment(get func(string) string) func(string) string {
	fallbacks := map[string][]string{"region": {"AWS_REGION", "AWS_DEFAULT_REGION"}, "node": {"NODE_NAME", "HOSTNAME"}, "endpoint": {"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"}, "use_fips_endpoint": {"AWS_USE_FIPS_ENDPOINT"}, "redact_key": {sidecarapi.EnvRedactKey}}
	return func(key string) string {
		value := get(key)
		for _, name := range fallbacks[key] {
			if value == "" {
				value = os.Getenv(name)
			}
		}
		return value
	}
}

func newHTTP() *http.Client {
	transport := new(http.Transport)
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		transport = standard.Clone() // with its proxies and timeouts
	}
	transport.MaxIdleConnsPerHost = 16
	return &http.Client{Transport: transport}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outputOf returns the instance of a callback. It does not allocate, except for
// the first chunk of an instance: the callback runs on a small stack.
func (p *pluginState) outputOf(ctx unsafe.Pointer) *fluentbit.Output {
	if all := p.outputsByContext.Load(); all != nil {
		if o := (*all)[ctx]; o != nil {
			return o
		}
	}
	o, _ := output.FLBPluginGetContext(ctx).(*fluentbit.Output)
	p.remember(ctx, o)
	return o
}

// remember replaces the map, so that outputOf reads it without a lock. A nil
// output removes the context.
func (p *pluginState) remember(ctx unsafe.Pointer, o *fluentbit.Output) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[unsafe.Pointer]*fluentbit.Output{}
	if before := p.outputsByContext.Load(); before != nil {
		maps.Copy(all, *before)
	}
	if all[ctx] = o; o == nil {
		delete(all, ctx)
	}
	p.outputsByContext.Store(&all)
}

// close stops an instance. After a hot reload, another instance may get the same
// context.
func (p *pluginState) close(ctx unsafe.Pointer, o *fluentbit.Output) {
	p.remember(ctx, nil)
	o.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outputs = slices.DeleteFunc(p.outputs, func(other *fluentbit.Output) bool { return other == o })
	p.stopMetrics(o)
}

// recovered logs a panic and reports whether there was one.
func (p *pluginState) recovered(step string, reason any) bool {
	if reason != nil {
		p.log.Error("panic recovered", "step", step, "reason", fmt.Sprint(reason))
	}
	return reason != nil
}

// errorLogInterval is the shortest time between two warnings of an instance:
// during an outage every request fails.
const errorLogInterval = 5 * time.Second

// errorLogger returns a function that logs errors of delivery, at most one in
// errorLogInterval, with the number of those that were suppressed since.
func (p *pluginState) errorLogger(id string) func(error) {
	var mu sync.Mutex
	var lastLogged time.Time
	suppressed := 0
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Sub(lastLogged) <= errorLogInterval {
			suppressed++
			return
		}
		p.log.Warn("delivery failed; will retry", "id", id, "error", err, "suppressed", suppressed)
		lastLogged, suppressed = now, 0
	}
}
