package exporter

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/nova/novawire/internal/version"
	"github.com/nova/novawire/sidecar/ledger"
)

// newSender returns the sender of the configured protocol.
func newSender(config *Config, target Target, signal ledger.Signal, credentials aws.CredentialsProvider) (sender, error) {
	if config.Protocol == "grpc" {
		return newGRPC(config, target, signal)
	}
	return newHTTP(config, target, credentials), nil
}

// headers returns those of all requests and those of the target.
func headers(config *Config, target Target) map[string]string {
	all := make(map[string]string, len(config.Headers)+len(target.Headers))
	for name, value := range config.Headers {
		all[name] = string(value)
	}
	for name, value := range target.Headers {
		all[name] = value
	}
	return all
}

// userAgent names the exporter, its version and its language (OTLP exporter
// specification, "User Agent").
func userAgent() string {
	return "novawire-sidecar/" + strings.Fields(version.String())[0] + " (Go)"
}
