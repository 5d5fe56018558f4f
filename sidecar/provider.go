package sidecar

import (
	"context"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/nova/novawire/api/attribute"
)

// builtIn gives the collector its configuration from memory: nothing is read
// from files, flags or the network.
func builtIn(conf map[string]any) otelcol.ConfigProviderSettings {
	return otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
		URIs:              []string{"builtin:"},
		ProviderFactories: []confmap.ProviderFactory{confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return provider(conf) })},
	}}
}

type provider map[string]any

func (p provider) Retrieve(context.Context, string, confmap.WatcherFunc) (*confmap.Retrieved, error) {
	return confmap.NewRetrieved(verbatim(map[string]any(p)))
}

// verbatim keeps the collector from expanding what users wrote: a header or an
// attribute with a "$" means it.
func verbatim(v any) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "$", "$$")
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = verbatim(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for key := range v {
			m[key] = verbatim(v[key])
		}
		return m
	}
	return v
}

func (provider) Scheme() string { return "builtin" }

func (provider) Shutdown(context.Context) error { return nil }

func attributeMap(attributes []attribute.KeyValue) map[string]any {
	m := make(map[string]any, len(attributes))
	for _, a := range attributes {
		m[a.Key] = a.Value
	}
	return m
}

// attributeList leaves out what the kubelet was to replace and did not.
func attributeList(attributes []attribute.KeyValue) []any {
	list := make([]any, 0, len(attributes))
	for _, a := range attributes {
		if a.Key != "" {
			list = append(list, map[string]any{"key": a.Key, "value": a.Value})
		}
	}
	return list
}

func sortedKeys(m map[string]any) (keys []any) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		keys = append(keys, key)
	}
	return keys
}
