package exporter

import (
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"

	"github.com/nova/novawire/sidecar/ledger"
)

// newSender makes the sender that the target's protocol asks for.
func newSender(config *Config, target Target, signal ledger.Signal, host component.Host) (sender, error) {
	if config.Protocol == "grpc" {
		return newRPC(config, target, signal)
	}
	var auth extensionauth.HTTPClient
	if target.Auth != (component.ID{}) {
		var ok bool
		if auth, ok = host.GetExtensions()[target.Auth].(extensionauth.HTTPClient); !ok {
			return nil, fmt.Errorf("%s: no extension %q authenticates requests", signal, target.Auth)
		}
	}
	return newWeb(config, target, signal, auth)
}

// headers are those of all requests and those of the target.
func headers(config *Config, target Target) map[string]string {
	all := make(map[string]string, len(config.Headers)+len(target.Headers))
	for name, value := range config.Headers {
		all[name] = string(value)
	}
	for name, value := range target.Headers {
		all[name] = string(value)
	}
	return all
}
