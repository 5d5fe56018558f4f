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

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/cloudwatchlogs"
	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/internal/version"
)

// the is the process: Fluent Bit loads the library once, whatever instances it
// makes, and C cannot be handed a Go value to call on.
var the = &process{
	log:   slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("plugin", "novawire"),
	paces: map[string]*delivery.Pace{},
}

// process is what the instances share.
type process struct {
	log *slog.Logger

	mu      sync.Mutex
	outputs []*fluentbit.Output
	paces   map[string]*delivery.Pace // by account, as far as it can be told
	windows map[string]*window        // on metrics, by address

	contexts atomic.Pointer[map[unsafe.Pointer]*fluentbit.Output]
}

// open starts an output from its section. What a section does not say, the
// environment does, as AWS's SDKs have it.
func (p *process) open(get func(string) string) (*fluentbit.Output, error) {
	config, err := fluentbit.ParseConfig(withEnvironment(get))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	credentials, err := findCredentials(context.Background(), config)
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
		Pace:    p.pace(config),
		Jitter:  func(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) },
		Trouble: p.trouble(config.ID),
	})
	p.outputs = append(p.outputs, o)
	p.show(config.Listen, o)
	p.log.Info("plugin started", "id", config.ID, "version", version.String(), "endpoint", config.Endpoint)
	return o, nil
}

// pace is shared by the instances that speak for one account in one Region.
func (p *process) pace(c fluentbit.Config) *delivery.Pace {
	key := c.Endpoint + " " + c.Region + " " + c.Role
	if p.paces[key] == nil {
		p.paces[key] = delivery.NewPace()
	}
	return p.paces[key]
}

func withEnvironment(get func(string) string) func(string) string {
	fallbacks := map[string][]string{"region": {"AWS_REGION", "AWS_DEFAULT_REGION"}, "node": {"NODE_NAME", "HOSTNAME"}, "endpoint": {"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"}}
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
	transport := http.DefaultTransport.(*http.Transport).Clone() // proxies and time-outs as usual
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

// known finds the instance of a callback without allocating: the callback's
// stack has no room for what allocating may bring.
func (p *process) known(ctx unsafe.Pointer) *fluentbit.Output {
	if all := p.contexts.Load(); all != nil {
		if o := (*all)[ctx]; o != nil {
			return o
		}
	}
	o, _ := output.FLBPluginGetContext(ctx).(*fluentbit.Output)
	p.learn(ctx, o)
	return o
}

// learn replaces the map, so that nobody waits to read it.
func (p *process) learn(ctx unsafe.Pointer, o *fluentbit.Output) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[unsafe.Pointer]*fluentbit.Output{}
	if before := p.contexts.Load(); before != nil {
		maps.Copy(all, *before)
	}
	if all[ctx] = o; o == nil {
		delete(all, ctx)
	}
	p.contexts.Store(&all)
}

// close ends an instance. Its context may come again for another, after a hot
// reload.
func (p *process) close(ctx unsafe.Pointer, o *fluentbit.Output) {
	p.learn(ctx, nil)
	o.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outputs = slices.DeleteFunc(p.outputs, func(other *fluentbit.Output) bool { return other == o })
	p.hide(o)
}

func (p *process) recovered(step string, reason any) bool {
	if reason != nil {
		p.log.Error("panic", "step", step, "reason", fmt.Sprint(reason))
	}
	return reason != nil
}

// quiet is how long an instance is silent about further troubles: during an
// outage each request is one.
const quiet = 5 * time.Second

func (p *process) trouble(id string) func(error) {
	var mu sync.Mutex
	var told time.Time
	silent := 0
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(told) > quiet {
			p.log.Warn("logs not delivered yet", "id", id, "error", err, "more", silent)
			told, silent = now, -1
		}
		silent++
	}
}
