package inject

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/workload"
)

func TestConfig_Validate(t *testing.T) {
	env := func(name, value string) map[string]string { return map[string]string{name: value} }
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // the beginning of the error
	}{
		"the default":              {func(*Config) {}, ""},
		"an old version":           {func(c *Config) { c.KubernetesVersion = "2.0" }, "kubernetesVersion: "},
		"no minor version":         {func(c *Config) { c.KubernetesVersion = "1" }, "kubernetesVersion: "},
		"a version that is a word": {func(c *Config) { c.KubernetesVersion = "1.x" }, "kubernetesVersion: "},
		"a version with a patch":   {func(c *Config) { c.KubernetesVersion = "v1.29.4" }, ""},
		"a version with a plus":    {func(c *Config) { c.KubernetesVersion = "1.30+" }, ""},
		"a bad default":            {func(c *Config) { c.Defaults = env("inject.nova.dev/protocol", "x") }, "defaults: inject.nova.dev/protocol: "},
		"no image":                 {func(c *Config) { c.Sidecar.Image = "" }, "sidecar.image: "},
		"an image with a space":    {func(c *Config) { c.Sidecar.Image = "a b" }, "sidecar.image: "},
		"a bad pull policy":        {func(c *Config) { c.Sidecar.ImagePullPolicy = "Sometimes" }, "sidecar.imagePullPolicy: "},
		"too little memory":        {func(c *Config) { c.Sidecar.Resources.MemoryLimit = "1Mi" }, "sidecar.resources: "},
		"an unknown setting": {func(c *Config) {
			c.Sidecar.Env = map[string]string{"NOVAWIRE_ENDPOINT": "http://a", "NOVAWIRE_BAKEND": "x"}
		}, "sidecar.env: NOVAWIRE_BAKEND"},
		"rules of redaction that would replace others": {func(c *Config) {
			c.Sidecar.Env = map[string]string{"NOVAWIRE_ENDPOINT": "http://a", "NOVAWIRE_REDACT": "mask preset email"}
		}, "sidecar: NOVAWIRE_REDACT: write the rules as inject.nova.dev/redact"},
		"a rule of redaction that cannot be read": {func(c *Config) { c.Defaults = env("inject.nova.dev/redact", "mask preset mail") }, "defaults: inject.nova.dev/redact: rule 1 cannot be read"},
		"a Secret without a key": {func(c *Config) {
			c.Sidecar.Env, c.Sidecar.SecretEnv = env("NOVAWIRE_ENDPOINT", "http://a"), env("NOVAWIRE_HEADERS", "name")
		}, "sidecar.secretEnv.NOVAWIRE_HEADERS: "},
		"a Secret with an empty key": {func(c *Config) {
			c.Sidecar.Env, c.Sidecar.SecretEnv = env("NOVAWIRE_ENDPOINT", "http://a"), env("NOVAWIRE_HEADERS", "name/")
		}, "sidecar.secretEnv.NOVAWIRE_HEADERS: "},
		"a key without a Secret": {func(c *Config) {
			c.Sidecar.Env, c.Sidecar.SecretEnv = env("NOVAWIRE_ENDPOINT", "http://a"), env("NOVAWIRE_HEADERS", "/key")
		}, "sidecar.secretEnv.NOVAWIRE_HEADERS: "},
		"a gateway without a scheme":                  {func(c *Config) { c.Gateway.GRPCEndpoint = "gateway:4317" }, "gateway.grpcEndpoint: "},
		"a gateway without a host":                    {func(c *Config) { c.Gateway.HTTPEndpoint = "http://" }, "gateway.httpEndpoint: "},
		"a gateway with another scheme":               {func(c *Config) { c.Gateway.HTTPEndpoint = "ftp://gateway" }, "gateway.httpEndpoint: "},
		"a gateway that is no URL":                    {func(c *Config) { c.Gateway.HTTPEndpoint = "http://[" }, "gateway.httpEndpoint: "},
		"a gateway by https":                          {func(c *Config) { c.Gateway.HTTPEndpoint = "https://gateway" }, ""},
		"a policy with a misspelt key":                {func(c *Config) { c.AllowedOverrides.Pod = []string{"inject.nova.dev/log"} }, "allowedOverrides: pod: "},
		"a maximum below the sidecar's own resources": {func(c *Config) { c.AllowedOverrides.SidecarMaximum.Memory = "48Mi" }, "allowedOverrides.sidecarMaximum: 64Mi is above"},
		"a default above the maximum": {func(c *Config) {
			c.AllowedOverrides.SidecarMaximum.CPU, c.Defaults = "1", env("inject.nova.dev/sidecar-cpu-limit", "2")
		}, "allowedOverrides.sidecarMaximum: 2 is above"},
		"a namespace that cannot be": {func(c *Config) { c.Namespaces = map[string]NamespaceConfig{"Nova": {}} }, `namespaces: "Nova" is not`},
		"a mistake in a namespace": {func(c *Config) {
			c.Namespaces = map[string]NamespaceConfig{"nova": {Defaults: env("inject.nova.dev/protocol", "x")}}
		}, "namespaces.nova: defaults: inject.nova.dev/protocol: "},
		"a mistake is not repeated for each namespace": {func(c *Config) {
			c.KubernetesVersion, c.Namespaces = "2.0", map[string]NamespaceConfig{"nova": {}}
		}, "kubernetesVersion: "},
		"a Secret in a namespace in place of a variable": {func(c *Config) {
			c.Sidecar.Env = map[string]string{"NOVAWIRE_ENDPOINT": "http://a", "NOVAWIRE_HEADERS": "a=b"}
			c.Namespaces = map[string]NamespaceConfig{"nova": {Sidecar: NamespaceSidecar{SecretEnv: env("NOVAWIRE_HEADERS", "a/b")}}}
		}, ""},
		"a Secret beside no other setting": {func(c *Config) { c.Sidecar.SecretEnv = env("NOVAWIRE_ENDPOINT", "a/b") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			c.change(&config)
			err := config.Validate()
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %s…", err, c.want)
			}
			if _, err := New(config); err == nil {
				t.Error("New accepts it")
			}
		})
	}
	config := DefaultConfig()
	config.Sidecar.Image, config.Sidecar.ImagePullPolicy, config.KubernetesVersion = "", "x", "y"
	if err := config.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.HasPrefix(err.Error(), "kubernetesVersion") {
		t.Errorf("three mistakes: %v", err)
	}
}

func TestConfig_NativeSidecar(t *testing.T) {
	for version, want := range map[string]bool{"1.28": false, "1.28.9": false, "1.29": true, "1.37": true} {
		config := DefaultConfig()
		config.KubernetesVersion = version
		if native, err := config.nativeSidecar(); native != want || err != nil {
			t.Errorf("%s: %t, %v", version, native, err)
		}
	}
}

func TestReason_Event(t *testing.T) {
	if got := JobWithoutSidecar.Event(); got != "JobWithoutNativeSidecar" {
		t.Error(got)
	}
}

func TestEngine_Explain(t *testing.T) {
	config := DefaultConfig()
	config.Defaults = map[string]string{"inject.nova.dev/metrics-path": "/m"}
	engine, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ns := Namespace{Name: "nova", Annotations: map[string]string{"inject.nova.dev/trace-sampling": "0.5", "inject.nova.dev/protocol": "grpc", "inject.nova.dev/span-metrics": "true"}}
	template := []byte(`{"metadata":{"annotations":{"inject.nova.dev/protocol":"http/protobuf","inject.nova.dev/trace-sampling":"bad"}},
		"spec":{"containers":[{"name":"app","ports":[{"name":"metrics","containerPort":9090}],"env":[{"name":"OTEL_PROPAGATORS","value":"b3"}]}]}}`)
	owner := workload.Owner{Kind: "Deployment", Name: "shop"}
	result, err := engine.Explain(template, ns, owner)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Line{}
	for _, l := range result.Explanation {
		got[l.Subject] = l
	}
	for subject, want := range map[string]Line{
		"OTEL_EXPORTER_OTLP_PROTOCOL": {"app", "", "http/protobuf", "protocol", "pod annotation inject.nova.dev/protocol"},
		"OTEL_TRACES_SAMPLER_ARG":     {"app", "", "0.5", "trace sampling", "namespace annotation inject.nova.dev/trace-sampling"},
		"OTEL_SERVICE_NAME":           {"app", "", "shop", "workload name", "Deployment"},
		"OTEL_PROPAGATORS":            {"app", "", "b3", "kept", "the container's own variable"},
		"prometheus.io/path":          {"", "", "/m", "metrics", "config defaults inject.nova.dev/metrics-path"},
		"prometheus.io/scheme":        {"", "", "http", "metrics", "default"},
		"NOVAWIRE_SPAN_METRICS":       {"novawire-collector", "", "true", "span metrics", "namespace annotation inject.nova.dev/span-metrics"},
		"container":                   {"novawire-collector", "", config.Sidecar.Image, "collector", "default"},
	} {
		want.Subject = subject
		if diff := cmp.Diff(want, got[subject]); diff != "" {
			t.Errorf("%s: %s", subject, diff)
		}
	}
	if _, ok := got["inject.nova.dev/status"]; !ok {
		t.Error("the status is missing")
	}
	if result, _ := engine.Template(template, ns, owner); result.Explanation != nil {
		t.Error("Template explains")
	}
	if _, err := engine.Explain([]byte(`{"spec":[]}`), ns, owner); err == nil {
		t.Error("no error for what is not a pod")
	}
	if _, err := engine.Pod([]byte(`{"spec":{"containers":[{"name":"a","env":{}}]}}`), ns); err == nil {
		t.Error("no error for an env that is not a list")
	}
}

func TestEngine_ServiceName(t *testing.T) {
	engine, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	owner := workload.Owner{Kind: "Job", Name: "import"}
	for template, want := range map[string]string{
		`{"spec":{"containers":[]}}`: "import",
		`{"metadata":{"annotations":{"inject.nova.dev/service-name":"x"}},"spec":{}}`: "x",
		`{"metadata":{"labels":{"nova.dev/wiring":"disabled"}},"spec":{}}`:            "",
		`[]`: "",
	} {
		if got := engine.ServiceName([]byte(template), Namespace{}, owner); got != want {
			t.Errorf("%s: %q, want %q", template, got, want)
		}
	}
	result, err := engine.Template([]byte(`{"spec":{"containers":[{"name":"a","image":"a"}]}}`), Namespace{Name: "nova"}, owner)
	if err != nil || !strings.Contains(string(result.Patch), `{"op":"add","path":"/metadata","value":{}}`) {
		t.Errorf("a template without metadata: %v %s", err, result.Patch)
	}
}
