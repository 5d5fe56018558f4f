package sidecar

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
)

// topology says which components there are and how they are connected. It holds no
// setting: what configures a component is its factory's default configuration, so that no
// value passes through text and back. A processor that is off is in no pipeline. spans are
// the further processors of traces, the last of all: they see what the backend will see.
func topology(spans ...string) map[string]any {
	pipeline := func(more ...string) map[string]any {
		processors := []any{"memory_limiter", "resource"}
		for _, name := range more {
			processors = append(processors, name)
		}
		return map[string]any{
			"receivers":  []any{"otlp"},
			"processors": processors,
			"exporters":  []any{"otlp"},
		}
	}
	processors := map[string]any{"memory_limiter": nil, "resource": nil}
	for _, name := range spans {
		processors[name] = nil
	}
	return map[string]any{
		"extensions": map[string]any{"telemetry": nil},
		"receivers":  map[string]any{"otlp": nil},
		"processors": processors,
		"exporters":  map[string]any{"otlp": nil},
		"service": map[string]any{
			"extensions": []any{"telemetry"},
			"pipelines":  map[string]any{"traces": pipeline(spans...), "metrics": pipeline(), "logs": pipeline()},
		},
	}
}

// topologyProvider gives the collector a topology: nothing is read from files, flags or the
// network.
func topologyProvider(topology map[string]any) otelcol.ConfigProviderSettings {
	return otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
		URIs:              []string{"topology:"},
		ProviderFactories: []confmap.ProviderFactory{confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return provider{topology} })},
	}}
}

type provider struct{ topology map[string]any }

func (p provider) Retrieve(context.Context, string, confmap.WatcherFunc) (*confmap.Retrieved, error) {
	return confmap.NewRetrieved(p.topology)
}

func (provider) Scheme() string { return "topology" }

func (provider) Shutdown(context.Context) error { return nil }

// configured is a factory of another module, with our configuration as its default.
type configured struct {
	processor.Factory
	config component.Config
}

func (c configured) CreateDefaultConfig() component.Config { return c.config }
