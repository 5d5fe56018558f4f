package sidecar

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/validate"
)

func environment(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := pairs[name]
		return value, ok
	}
}

func TestParseSettings_Defaults(t *testing.T) {
	s, mistakes := ParseSettings(environment(map[string]string{EnvEndpoint: "https://otel.observability.svc"}))
	if len(mistakes) > 0 {
		t.Fatalf("defaults are mistaken: %v", mistakes)
	}
	got := []any{
		s.Backend, s.Endpoint.String(), s.Protocol, s.Compression, s.Timeout, s.RetryLimit, s.FlushInterval, s.DrainTimeout,
		s.QueueSize, s.Listen, s.MetricsListen, s.TerminationFile, s.Usable(),
	}
	want := []any{
		"gateway", "https://otel.observability.svc:443", ProtocolGRPC, "gzip", 10 * time.Second, 5 * time.Minute, time.Second, 5 * time.Second,
		int64(4 << 20),
		[]string{"127.0.0.1:4317", "127.0.0.1:4318"},
		":18888", "/dev/termination-log", true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestVariables_AcceptTheirDefaults(t *testing.T) {
	for _, v := range Variables() {
		if v.value != "" && !v.set(new(Settings), v.value) {
			t.Errorf("%s refuses its default %q", v.Name, v.value)
		}
	}
}

func TestParseSettings_Refusals(t *testing.T) {
	const endpoint = "http://gateway:4317"
	cases := map[string]struct {
		environment map[string]string
		mistake     string // "": none
		usable      bool
	}{
		"a bad backend": {
			map[string]string{EnvBackend: "xrai", EnvEndpoint: endpoint},
			`NOVAWIRE_BACKEND: "xrai" is ignored: use gateway, jaeger, xray; gateway is used`, true,
		},
		"no endpoint":              {nil, "NOVAWIRE_ENDPOINT: there is no valid endpoint", false},
		"an endpoint of no scheme": {map[string]string{EnvEndpoint: "gateway:4317"}, "NOVAWIRE_ENDPOINT: the value (hidden) is ignored", false},
		"a port beyond the last":   {map[string]string{EnvEndpoint: "http://gateway:70000"}, "NOVAWIRE_ENDPOINT: the value (hidden) is ignored", false},
		"a path with grpc":         {map[string]string{EnvEndpoint: endpoint + "/otlp"}, "NOVAWIRE_ENDPOINT: grpc does not use the path", true},
		"a path with http":         {map[string]string{EnvEndpoint: endpoint + "/otlp", EnvProtocol: string(ProtocolHTTP)}, "", true},
		"xray without a region":    {map[string]string{EnvBackend: BackendXRay}, "NOVAWIRE_AWS_REGION: the backend xray needs a region", false},
		"xray with AWS's region":   {map[string]string{EnvBackend: BackendXRay, "AWS_REGION": "eu-west-1"}, "", true},
		"xray by grpc": {
			map[string]string{EnvBackend: BackendXRay, EnvProtocol: string(ProtocolGRPC), EnvAWSRegion: "eu-west-1"},
			"NOVAWIRE_PROTOCOL: AWS does not accept grpc", true,
		},
		"a certificate without a key": {map[string]string{EnvEndpoint: "https://g", EnvCertFile: "/tls/tls.crt"}, "NOVAWIRE_CERT_FILE: is used only together with NOVAWIRE_KEY_FILE", true},
		"TLS files for http":          {map[string]string{EnvEndpoint: endpoint, EnvCAFile: "/ca.pem"}, "NOVAWIRE_ENDPOINT: the TLS files have no effect", true},
		"a group without a stream":    {map[string]string{EnvEndpoint: endpoint, EnvLogGroup: "nova"}, "NOVAWIRE_LOG_GROUP: is used only together with NOVAWIRE_LOG_STREAM", true},
		"a timeout without a unit":    {map[string]string{EnvEndpoint: endpoint, EnvTimeout: "10"}, `NOVAWIRE_TIMEOUT: "10" is ignored: use a duration from 100ms to 1m; 10s is used`, true},
		"a queue too small":           {map[string]string{EnvEndpoint: endpoint, EnvQueueSize: "1Ki"}, "NOVAWIRE_QUEUE_SIZE: ", true},
		"a switch that is a word":     {map[string]string{EnvEndpoint: endpoint, EnvSpanMetrics: "on"}, `NOVAWIRE_SPAN_METRICS: "on" is ignored: use true, false; false is used`, true},
		"too many series":             {map[string]string{EnvEndpoint: endpoint, EnvSpanSeries: "1001"}, `NOVAWIRE_SPAN_METRICS_SERIES: "1001" is ignored: use a number from 10 to 1000; 100 is used`, true},
		"a relative storage folder":   {map[string]string{EnvEndpoint: endpoint, EnvStorageDir: "data"}, "NOVAWIRE_STORAGE_DIR: ", true},
		"an attribute without value":  {map[string]string{EnvEndpoint: endpoint, EnvResourceAttributes: "a=b,c"}, "NOVAWIRE_RESOURCE_ATTRIBUTES: ", true},
		"a listener without a port":   {map[string]string{EnvEndpoint: endpoint, EnvListen: "127.0.0.1"}, "NOVAWIRE_LISTEN: ", true},
		"an empty value is unset":     {map[string]string{EnvEndpoint: endpoint, EnvBackend: ""}, "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, mistakes := ParseSettings(environment(c.environment))
			if s.Usable() != c.usable {
				t.Errorf("usable: got %v, want %v", s.Usable(), c.usable)
			}
			told := ""
			for _, m := range mistakes {
				told += m.Error() + "\n"
			}
			if c.mistake == "" && told != "" || !strings.Contains(told, c.mistake) {
				t.Errorf("mistakes:\n%swant one with:\n%s", told, c.mistake)
			}
		})
	}
}

func TestParseSettings_HidesSecrets(t *testing.T) {
	_, mistakes := ParseSettings(environment(map[string]string{
		EnvHeaders:  "authorization=Bearer s3cret,s3cret",
		EnvEndpoint: "https://user:s3cret@gateway",
	}))
	if len(mistakes) < 2 {
		t.Fatalf("mistakes are not told: %v", mistakes)
	}
	for _, m := range mistakes {
		if strings.Contains(m.Error(), "s3cret") {
			t.Errorf("a secret is repeated: %v", m)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	got := UnknownVariables([]string{"NOVAWIRE_ENDPIONT", "NOVAWIRE_POD_UID", EnvBackend, "RUST_LOG", "NOVAWIRE_SOMETHING_ELSE"})
	want := []validate.Refusal{
		{Setting: "NOVAWIRE_ENDPIONT", Problem: "the sidecar has no such variable; did you mean NOVAWIRE_ENDPOINT?", Ignored: true},
		{Setting: "NOVAWIRE_SOMETHING_ELSE", Problem: "the sidecar has no such variable", Ignored: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestCheckVariables(t *testing.T) {
	cases := map[string]struct {
		env    map[string]string
		hidden []string
		want   []string // names
	}{
		"all is right":               {map[string]string{EnvEndpoint: "http://g"}, nil, nil},
		"no backend at all":          {nil, nil, []string{EnvEndpoint}},
		"a Secret names the backend": {nil, []string{EnvEndpoint}, nil},
		"a Secret says which":        {map[string]string{EnvTimeout: "x"}, []string{EnvBackend}, []string{EnvTimeout}},
		"a Secret for a typo":        {map[string]string{EnvEndpoint: "http://g", "GOMEMLIMIT": "1"}, []string{"NOVAWIRE_HEADER", "AWS_SECRET_ACCESS_KEY"}, []string{"NOVAWIRE_HEADER"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range CheckVariables(c.env, c.hidden) {
				got = append(got, m.Setting)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("mistakes of (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseSettings_Endpoint(t *testing.T) {
	for _, c := range []struct {
		endpoint string
		protocol Protocol
		want     string
	}{
		{"http://g", ProtocolGRPC, "http://g:4317"},
		{"http://g", ProtocolHTTP, "http://g:4318"},
		{"https://g", ProtocolHTTP, "https://g:443"},
		{"http://g:4318/v1/traces", ProtocolHTTP, "http://g:4318"},
		{"http://g:4318/v1/logs/", ProtocolHTTP, "http://g:4318"},
		{"https://g/otlp/v1/metrics", ProtocolHTTP, "https://g:443/otlp"},
		{"https://g/otlp/", ProtocolHTTP, "https://g:443/otlp"},
		{"http://g:4317/v1/traces", ProtocolGRPC, "http://g:4317"},
	} {
		s, refusals := ParseSettings(environment(map[string]string{EnvEndpoint: c.endpoint, EnvProtocol: string(c.protocol)}))
		if len(refusals) > 0 || s.Endpoint.String() != c.want {
			t.Errorf("%s by %s: got %s, %v; want %s", c.endpoint, c.protocol, s.Endpoint, refusals, c.want)
		}
	}
}

// A header that the transports cannot send is reported when the workload is applied.
func TestParseSettings_Headers(t *testing.T) {
	for value, valid := range map[string]bool{
		"authorization=Bearer%20x":  true,
		"x-tenant=a,x-scope-id=b":   true,
		"x_tenant=a":                true,
		"x.tenant=a":                true,
		"x-text=%C3%A9":             false, // not ASCII
		"x-text=a%0Ab":              false,
		"x-text=a%00b":              false,
		"x-text=%20a":               false, // HTTP cuts it off
		"x-text=a%20":               false,
		"x%20y=a":                   false,
		":authority=a":              false,
		"grpc-timeout=1S":           false,
		"Content-Type=text/plain":   false,
		"content-length=5":          false,
		"Host=other":                false,
		"Connection=close":          false,
		"Transfer-Encoding=chunked": false,
		"te=trailers":               false,
		"user-agent=me":             false,
	} {
		s, refusals := ParseSettings(environment(map[string]string{EnvEndpoint: "http://g", EnvHeaders: value}))
		if got := len(refusals) == 0; got != valid || (len(s.Headers) > 0) != valid {
			t.Errorf("%s: valid is %v, want %v: %v", value, got, valid, refusals)
		}
	}
}
