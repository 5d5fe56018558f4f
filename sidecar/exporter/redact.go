package exporter

import "net/url"

// redacted is printed in place of what may be a secret.
const redacted = "[redacted]"

// Secret is a value that no output shows.
type Secret string

func (Secret) String() string { return redacted }

// MarshalYAML hides the value.
func (Secret) MarshalYAML() (any, error) { return redacted, nil }

// URL is an address whose path may hold a token: output shows the host and the last
// two elements, which are OTLP's own.
type URL string

func (u URL) String() string {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return redacted
	}
	for _, own := range []string{"/v1/traces", "/v1/metrics", "/v1/logs", "/", ""} {
		if parsed.Path == own {
			return parsed.Scheme + "://" + parsed.Host + own
		}
	}
	return parsed.Scheme + "://" + parsed.Host + "/" + redacted
}

// MarshalYAML hides what may be a secret.
func (u URL) MarshalYAML() (any, error) { return u.String(), nil }
