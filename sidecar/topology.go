package sidecar

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
)

// topology says which components there are and how they are connected. It is the same
// for every sidecar, and holds no setting: what configures a component is its factory's
// default configuration, so that no value passes through text and back.
func topology() map[string]any {
	pipeline := func() map[string]any {
		return map[string]any{
			"receivers":  []any{"otlp"},
			"processors": []any{"memory_limiter", "resource"},
			"exporters":  []any{"otlp"},
		}
	}
	return map[string]any{
		"extensions": map[string]any{"telemetry": nil},
		"receivers":  map[string]any{"otlp": nil},
		"processors": map[string]any{"memory_limiter": nil, "resource": nil},
		"exporters":  map[string]any{"otlp": nil},
		"service": map[string]any{
			"extensions": []any{"telemetry"},
			"pipelines":  map[string]any{"traces": pipeline(), "metrics": pipeline(), "logs": pipeline()},
		},
	}
}

// topologyProvider gives the collector the topology: nothing is read from files, flags
// or the network.
func topologyProvider() otelcol.ConfigProviderSettings {
	return otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
		URIs:              []string{"topology:"},
		ProviderFactories: []confmap.ProviderFactory{confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return provider{} })},
	}}
}

type provider struct{}

func (provider) Retrieve(context.Context, string, confmap.WatcherFunc) (*confmap.Retrieved, error) {
	return confmap.NewRetrieved(topology())
}

func (provider) Scheme() string { return "topology" }

func (provider) Shutdown(context.Context) error { return nil }

// configured is a factory of another module, with our configuration as its default.
type configured struct {
	processor.Factory
	config component.Config
}

func (c configured) CreateDefaultConfig() component.Config { return c.config }
