package inject

import (
	"slices"
	"strings"
	"testing"
)

// wired wires a pod with a configuration and returns it, with the decision.
func wired(t *testing.T, config Config, ns Namespace, pod string) (string, Result) {
	t.Helper()
	engine, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	result, err := engine.Pod([]byte(pod), ns)
	if err != nil {
		t.Fatal(err)
	}
	return string(apply(t, []byte(pod), result.Patch)), result
}

// TestEngine_Pod_UserVariables has containers with variables of their own, and one of
// our variables with the value that it has afterwards, "" if it has no value.
func TestEngine_Pod_UserVariables(t *testing.T) {
	config := DefaultConfig()
	config.Gateway = Gateway{GRPCEndpoint: "http://gateway:4317", HTTPEndpoint: "http://gateway:4318"}
	const (
		gateway  = `"inject.nova.dev/collector":"gateway"`
		endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	)
	for name, c := range map[string]struct {
		annotations, env, variable, want string
		note                             Reason
	}{
		"settings that are no endpoint do not matter":         {"", `{"name":"OTEL_EXPORTER_OTLP_HEADERS","value":"a=b"}`, endpoint, "http://127.0.0.1:4317", ""},
		"an endpoint of a signal without its protocol":        {"", `{"name":"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT","value":"http://x"}`, endpoint, "", SignalEndpoint},
		"an endpoint of a signal with its protocol":           {"", `{"name":"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT","value":"http://x"},{"name":"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL","value":"grpc"}`, endpoint, "http://127.0.0.1:4317", ""},
		"an endpoint of a signal with the protocol of others": {"", `{"name":"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT","value":"http://x"},{"name":"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL","value":"grpc"}`, endpoint, "", SignalEndpoint},
		"a protocol of HTTP":                                  {gateway, `{"name":"OTEL_EXPORTER_OTLP_PROTOCOL","value":"http/json"}`, endpoint, "http://gateway:4318", ""},
		"a protocol that nobody knows":                        {gateway, `{"name":"OTEL_EXPORTER_OTLP_PROTOCOL","value":"thrift"}`, endpoint, "", HiddenProtocol},
		"the node's name as the user has it":                  {"", `{"name":"NOVAWIRE_NODE_NAME","value":"mine"}`, "NOVAWIRE_NODE_NAME", "mine", ""},
		"a name of its own":                                   {"", `{"name":"OTEL_SERVICE_NAME","value":"mine"}`, "OTEL_SERVICE_NAME", "mine", ""},
		"a name of its own in a pod with an annotation":       {`"inject.nova.dev/service-name":"pods"`, `{"name":"OTEL_SERVICE_NAME","value":"mine"}`, "OTEL_SERVICE_NAME", "pods", OverriddenName},
	} {
		t.Run(name, func(t *testing.T) {
			raw, result := wired(t, config, Namespace{Name: "nova"},
				`{"metadata":{"annotations":{`+c.annotations+`}},"spec":{"containers":[{"name":"a","image":"a","env":[`+c.env+`]}]}}`)
			if got := variableOf(t, []byte(raw), c.variable); got != c.want {
				t.Errorf("%s is %q, want %q", c.variable, got, c.want)
			}
			has := func(n Note) bool { return n.Reason == c.note }
			if c.note != "" && !slices.ContainsFunc(result.Notes, has) {
				t.Errorf("notes %v, want %s", result.Notes, c.note)
			}
		})
	}
	t.Run("a name of its own is stronger than the namespace's annotation", func(t *testing.T) {
		ns := Namespace{Name: "nova", Annotations: map[string]string{"inject.nova.dev/service-name": "namespaces"}}
		raw, _ := wired(t, config, ns, `{"metadata":{},"spec":{"containers":[{"name":"a","image":"a","env":[{"name":"OTEL_SERVICE_NAME","value":"mine"}]}]}}`)
		if got := variableOf(t, []byte(raw), "OTEL_SERVICE_NAME"); got != "mine" {
			t.Errorf("OTEL_SERVICE_NAME is %q", got)
		}
	})
}

func TestSidecar_Configured(t *testing.T) {
	setting := map[string]string{"NOVAWIRE_ENDPOINT": "x"}
	for name, c := range map[string]struct {
		sidecar Sidecar
		want    bool
	}{
		"nothing":                 {Sidecar{}, false},
		"a variable":              {Sidecar{Env: setting}, true},
		"a Secret":                {Sidecar{SecretEnv: setting}, true},
		"a variable and a Secret": {Sidecar{Env: setting, SecretEnv: setting}, true},
	} {
		if got := c.sidecar.Configured(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestNeedsWindows(t *testing.T) {
	for name, c := range map[string]struct {
		expression nodeExpression
		want       bool
	}{
		"in windows":              {nodeExpression{"kubernetes.io/os", "In", []string{"windows"}}, true},
		"the old label":           {nodeExpression{"beta.kubernetes.io/os", "In", []string{"windows"}}, true},
		"not in linux":            {nodeExpression{"kubernetes.io/os", "NotIn", []string{"linux"}}, true},
		"in windows or linux":     {nodeExpression{"kubernetes.io/os", "In", []string{"windows", "linux"}}, false},
		"not in windows":          {nodeExpression{"kubernetes.io/os", "NotIn", []string{"windows"}}, false},
		"in linux":                {nodeExpression{"kubernetes.io/os", "In", []string{"linux"}}, false},
		"another label's windows": {nodeExpression{"example.com/has", "In", []string{"windows"}}, false},
	} {
		if got := c.expression.needsWindows(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestReadStatus(t *testing.T) {
	for text, want := range map[string]bool{
		``:                                false,
		`{"config":"a"}`:                  true,
		`{"collector":"sidecar"}`:         false,
		`{"config":"a","containers":7}`:   false,
		`wired`:                           false,
		`{"config":"a","future":{"b":1}}`: true,
	} {
		if _, ok := ReadStatus(map[string]string{"inject.nova.dev/status": text}); ok != want {
			t.Errorf("%s: %t", text, ok)
		}
	}
}

func TestPatch_Path(t *testing.T) {
	var p patch
	p.remove("metadata", "annotations", "a.b/c~d")
	if got := string(p.bytes()); got != `[{"op":"remove","path":"/metadata/annotations/a.b~1c~0d"}]` {
		t.Error(got)
	}
}

func TestIsNamespaceName(t *testing.T) {
	for name, want := range map[string]bool{
		"nova": true, "a": true, "0": true, "nova-2": true, strings.Repeat("a", 63): true,
		"": false, strings.Repeat("a", 64): false, "Nova": false, "a.b": false, "-a": false, "a-": false, "-": false,
	} {
		if isNamespaceName(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
}
