package inject

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// istioInjector does what Istio's injector does to a pod's metrics (istio.io/istio,
// pkg/kube/inject, applyPrometheusMerge): it moves the scrape annotations into a
// variable of its agent and points them to the agent.
func istioInjector(t *testing.T, raw []byte) []byte {
	t.Helper()
	pod, _ := tree(t, raw).(map[string]any)
	metadata, spec := child(pod, "metadata"), child(pod, "spec")
	annotations := child(metadata, "annotations")
	proxy := map[string]any{"name": "istio-proxy", "image": "istio/proxyv2", "restartPolicy": "Always", "env": []any{map[string]any{"name": "PILOT_CERT_PROVIDER", "value": "istiod"}}}
	if annotations["prometheus.io/scrape"] != "false" {
		var recorded struct {
			Scrape string `json:"scrape"`
			Path   string `json:"path"`
			Port   string `json:"port"`
		}
		recorded.Scrape, _ = annotations["prometheus.io/scrape"].(string)
		recorded.Path, _ = annotations["prometheus.io/path"].(string)
		recorded.Port, _ = annotations["prometheus.io/port"].(string)
		if recorded.Scrape+recorded.Path+recorded.Port != "" {
			text, err := json.Marshal(recorded)
			if err != nil {
				t.Fatal(err)
			}
			proxy["env"] = append(proxy["env"].([]any), map[string]any{"name": "ISTIO_PROMETHEUS_ANNOTATIONS", "value": string(text)})
		}
		maps.Copy(annotations, map[string]any{"prometheus.io/scrape": "true", "prometheus.io/path": "/stats/prometheus", "prometheus.io/port": "15020"})
	}
	inits, _ := spec["initContainers"].([]any)
	spec["initContainers"] = append([]any{proxy}, inits...)
	out, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// child returns a member that is an object, and adds it if it is missing.
func child(of map[string]any, name string) map[string]any {
	object, ok := of[name].(map[string]any)
	if !ok {
		object = map[string]any{}
		of[name] = object
	}
	return object
}

// TestEngine_Pod_IstioMetrics is the table of pods whose metrics Istio serves too. The
// order of the two webhooks makes no difference to what is scraped.
func TestEngine_Pod_IstioMetrics(t *testing.T) {
	const spec = `"spec":{"containers":[{"name":"app","image":"app","ports":[{"name":"metrics","containerPort":9090}]}]}`
	for name, c := range map[string]struct {
		pod      string
		recorded string // what Istio's agent is told
		label    any
	}{
		"nothing is annotated": {`{"metadata":{"name":"a"},` + spec + `}`, `{"scrape":"true","path":"/metrics","port":"9090"}`, "true"},
		"the path is requested": {
			`{"metadata":{"name":"a","annotations":{"inject.nova.dev/metrics-path":"/internal"}},` + spec + `}`,
			`{"scrape":"true","path":"/internal","port":"9090"}`, "true",
		},
		"the user annotated the endpoint": {
			`{"metadata":{"name":"a","annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"7000","prometheus.io/path":"/m"}},` + spec + `}`,
			`{"scrape":"true","path":"/m","port":"7000"}`, "true",
		},
		"the user wants no scraping":     {`{"metadata":{"name":"a","annotations":{"prometheus.io/scrape":"false"}},` + spec + `}`, "", nil},
		"metrics are off":                {`{"metadata":{"name":"a","annotations":{"inject.nova.dev/metrics":"false"}},` + spec + `}`, "", nil},
		"no port of the app has metrics": {`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"app"}]}}`, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			engine, err := New(DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			ours := func(raw []byte) []byte {
				result, err := engine.Pod(raw, Namespace{Name: "nova"})
				if err != nil {
					t.Fatal(err)
				}
				return apply(t, raw, result.Patch)
			}
			first := ours(istioInjector(t, ours([]byte(c.pod))))
			last := ours(ours(istioInjector(t, []byte(c.pod))))
			if diff := cmp.Diff(withoutStatus(t, first), withoutStatus(t, last)); diff != "" {
				t.Errorf("the order of the webhooks makes a difference: -ours first +Istio first\n%s", diff)
			}
			pod := withoutStatus(t, last)
			if got := child(child(pod, "metadata"), "labels")["nova.dev/metrics"]; got != c.label {
				t.Errorf("label nova.dev/metrics: %v, want %v", got, c.label)
			}
			if got := recordedEndpoint(pod); got != c.recorded {
				t.Errorf("Istio's agent is told %s, want %s", got, c.recorded)
			}
		})
	}
}

// TestEngine_Pod_IstioMetricsRefused has the pods whose endpoint Istio's agent is not told.
func TestEngine_Pod_IstioMetricsRefused(t *testing.T) {
	const istio = `"prometheus.io/scrape":"true","prometheus.io/port":"15020","prometheus.io/path":"/stats/prometheus"`
	for name, c := range map[string]struct{ annotations, agent, endpoint string }{
		"a port of Istio's":         {`"inject.nova.dev/metrics-port":"15090"`, `"env":[{"name":"A"}]`, "http://:15090/metrics"},
		"an app that speaks https":  {`"inject.nova.dev/metrics-scheme":"https"`, `"env":[{"name":"A"}]`, "https://:9090/metrics"},
		"an agent without settings": {`"a":"b"`, `"image":"i"`, "http://:9090/metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := []byte(`{"metadata":{"annotations":{` + istio + `,` + c.annotations + `}},"spec":{"containers":[
				{"name":"app","image":"app","ports":[{"name":"metrics","containerPort":9090}]},{"name":"istio-proxy",` + c.agent + `}]}}`)
			engine, err := New(DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			result, err := engine.Pod(raw, Namespace{Name: "nova"})
			if err != nil {
				t.Fatal(err)
			}
			pod := withoutStatus(t, apply(t, raw, result.Patch))
			if got := recordedEndpoint(pod); got != "" {
				t.Errorf("Istio's agent is told %s", got)
			}
			if got := child(child(pod, "metadata"), "annotations")["nova.dev/metrics-endpoint"]; got != c.endpoint {
				t.Errorf("nova.dev/metrics-endpoint: %v, want %s", got, c.endpoint)
			}
		})
	}
}

func TestIsIstioPort(t *testing.T) {
	for port, want := range map[string]bool{"14999": false, "15000": true, "15099": true, "15100": false, "9090": false, "metrics": true} {
		if got := isIstioPort(port); got != want {
			t.Errorf("%s: %v", port, got)
		}
	}
}

// TestEngine_Pod_ForeignPort is the table of scrape annotations of others: whether the
// endpoint of the app is in an annotation of ours.
func TestEngine_Pod_ForeignPort(t *testing.T) {
	for name, c := range map[string]struct{ sidecar, port, want string }{
		"a port of the mesh's proxy":           {`"name":"consul-dataplane","ports":[{"containerPort":20200}]`, "20200", "http://:9090/metrics"},
		"a port that nobody declares":          {`"name":"consul-dataplane","ports":[{"containerPort":20200}]`, "7000", ""},
		"a port of the app":                    {`"name":"consul-dataplane","ports":[{"containerPort":20200}]`, "9090", ""},
		"a port of a sidecar of the app's own": {`"name":"exporter","ports":[{"containerPort":9187}]`, "9187", ""},
	} {
		t.Run(name, func(t *testing.T) {
			engine, err := New(DefaultConfig())
			if err != nil {
				t.Fatal(err)
			}
			raw := []byte(`{"metadata":{"annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"` + c.port + `"}},"spec":{"containers":[
				{"name":"app","image":"app","ports":[{"name":"metrics","containerPort":9090}]},{"image":"i",` + c.sidecar + `}]}}`)
			result, err := engine.Pod(raw, Namespace{Name: "nova"})
			if err != nil {
				t.Fatal(err)
			}
			annotations := child(child(withoutStatus(t, apply(t, raw, result.Patch)), "metadata"), "annotations")
			if got, _ := annotations["nova.dev/metrics-endpoint"].(string); got != c.want || annotations["prometheus.io/port"] != c.port {
				t.Errorf("nova.dev/metrics-endpoint %q, want %q; prometheus.io/port %v", got, c.want, annotations["prometheus.io/port"])
			}
		})
	}
}

// TestEqualAmount is the table of requests and limits that make the QoS class Guaranteed.
func TestEqualAmount(t *testing.T) {
	for _, c := range []struct {
		request, limit string
		want           bool
	}{
		{`"100m"`, `"100m"`, true},
		{`"100m"`, `"0.1"`, true},
		{`1`, `"1000m"`, true},
		{``, `"1"`, true},
		{`null`, `"1"`, true},
		{`"1"`, ``, false},
		{`"1"`, `null`, false},
		{``, ``, false},
		{`"99m"`, `"100m"`, false},
		{`"1"`, `"none"`, false},
		{`"none"`, `"1"`, false},
		{`"none"`, `"some"`, false},
	} {
		if got := equalAmount(c.request, c.limit); got != c.want {
			t.Errorf("request %s, limit %s: %v", c.request, c.limit, got)
		}
	}
}

// recordedEndpoint returns the variable of Istio's agent.
func recordedEndpoint(pod map[string]any) string {
	spec := child(pod, "spec")
	for _, list := range []string{"containers", "initContainers"} {
		containers, _ := spec[list].([]any)
		for _, c := range containers {
			env, _ := c.(map[string]any)["env"].([]any)
			for _, v := range env {
				if nameOf(v) == istioAppMetrics {
					value, _ := v.(map[string]any)["value"].(string)
					return value
				}
			}
		}
	}
	return ""
}

// withoutStatus returns a pod as a tree, with sorted env and without the status
// annotation, which says who set what.
func withoutStatus(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	pod, _ := tree(t, raw).(map[string]any)
	delete(child(child(pod, "metadata"), "annotations"), "inject.nova.dev/status")
	spec := child(pod, "spec")
	for _, list := range []string{"containers", "initContainers"} {
		containers, _ := spec[list].([]any)
		for _, c := range containers {
			env, _ := c.(map[string]any)["env"].([]any)
			slices.SortFunc(env, func(a, b any) int { return strings.Compare(nameOf(a), nameOf(b)) })
		}
	}
	return pod
}
