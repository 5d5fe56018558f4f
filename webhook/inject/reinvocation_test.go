package inject

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inOrder returns the pod after our webhook and another one, in one order or the
// other, and our reinvocation.
func inOrder(t *testing.T, pod, other string, oursFirst bool) []byte {
	t.Helper()
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
	raw := []byte(pod)
	if oursFirst {
		return ours(apply(t, ours(raw), []byte(other)))
	}
	return ours(ours(apply(t, raw, []byte(other))))
}

// initContainers returns the names of the init containers.
func initContainers(t *testing.T, raw []byte) (names []string) {
	t.Helper()
	p, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Spec.InitContainers {
		names = append(names, c.Name)
	}
	return names
}

func TestEngine_Pod_Reinvocation(t *testing.T) {
	const (
		plain   = `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"app"}]}}`
		migrate = `{"metadata":{"name":"a"},"spec":{"initContainers":[{"name":"migrate","image":"m"}],"containers":[{"name":"app","image":"app"}]}}`
		proxy   = `{"name":"istio-proxy","image":"istio/proxyv2","restartPolicy":"Always"}`
		linkerd = `{"name":"linkerd-proxy","image":"linkerd/proxy","restartPolicy":"Always"}`
	)
	for name, c := range map[string]struct {
		pod, first, last string // patches of the other webhook if it is called first, or last
		want             []string
	}{
		"a proxy in front": {
			migrate, `[{"op":"add","path":"/spec/initContainers/0","value":` + proxy + `}]`, "",
			[]string{"istio-proxy", "novawire-collector", "migrate"},
		},
		"a proxy at the end": {
			migrate, `[{"op":"add","path":"/spec/initContainers/-","value":` + linkerd + `}]`, "",
			[]string{"migrate", "linkerd-proxy", "novawire-collector"},
		},
		"the first init container": {
			plain, `[{"op":"add","path":"/spec/initContainers","value":[` + proxy + `]}]`, `[{"op":"add","path":"/spec/initContainers/-","value":` + proxy + `}]`,
			[]string{"istio-proxy", "novawire-collector"},
		},
		"a container that listens on OTLP's port": {
			plain, `[{"op":"add","path":"/spec/containers/-","value":{"name":"router","image":"r","ports":[{"containerPort":4317}]}}]`, "",
			[]string{"novawire-collector"},
		},
		"Jaeger": {
			plain, `[{"op":"add","path":"/spec/containers/0","value":{"name":"tracing","image":"jaegertracing/all-in-one:1"}}]`, "",
			[]string{"novawire-collector"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			last := c.last
			if last == "" {
				last = c.first
			}
			a, b := inOrder(t, c.pod, c.first, false), inOrder(t, c.pod, last, true)
			if got := initContainers(t, a); !slices.Equal(got, c.want) {
				t.Errorf("init containers %v, want %v", got, c.want)
			}
			if diff := cmp.Diff(sortedEnv(t, a), sortedEnv(t, b)); diff != "" {
				t.Errorf("the order of the webhooks makes a difference: -first +last\n%s", diff)
			}
			if strings.Contains(string(a), "containerPort\":4317") && !strings.Contains(string(b), "127.0.0.1:14317") {
				t.Error("the sidecar keeps a port that is taken")
			}
		})
	}
}

// sortedEnv returns a pod as a tree, with each env sorted by name: the place of a
// variable depends on the order of the webhooks.
func sortedEnv(t *testing.T, raw []byte) any {
	t.Helper()
	var pod struct {
		Spec struct {
			Containers, InitContainers []map[string]any
		}
	}
	if err := json.Unmarshal(raw, &pod); err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]map[string]any{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, c := range list {
			env, _ := c["env"].([]any)
			slices.SortFunc(env, func(a, b any) int { return strings.Compare(nameOf(a), nameOf(b)) })
		}
	}
	return pod
}

// TestListened is the table of settings that show, or do not show, that a container
// listens on one of the sidecar's ports.
func TestListened(t *testing.T) {
	for setting, want := range map[string][]int{
		"--collector.otlp.grpc.host-port=0.0.0.0:4317":                   {4317},
		"--collector.otlp.http.host-port=:4318":                          {4318},
		"--listen=[::]:4317":                                             {4317},
		"COLLECTOR_OTLP_GRPC_HOST_PORT=:4317":                            {4317},
		"DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT=0.0.0.0:4318":   {4318},
		"DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT=localhost:4317": {4317},
		"OTEL_RECEIVER_OTLP_ENDPOINT=http://127.0.0.1:4317":              {4317},
		"OTLP_GRPC_PORT=4317":                                            {4317},
		"PORT=4318":                                                      {4318},
		"LISTEN_ADDR=127.0.0.1:4317":                                     {4317},
		"--http-port=18888":                                              {18888},
		"listen :4317":                                                   {4317},
		"GRPC=0.0.0.0:4317":                                              {4317},

		"--otlp-endpoint=collector:4317":                   nil,
		"COLLECTOR_ADDR=otel-collector.observability:4317": nil,
		"TRACES_URL=http://tempo.monitoring.svc:4318":      nil,
		"COLLECTOR_PORT=14250":                             nil,
		"VERSION=1.4317":                                   nil,
		"PORT=8080":                                        nil,
		"ID=4317":                                          nil,
		"DESTINATION=https://host-port.example.com:4317":   nil,
	} {
		var got []int
		for _, n := range listened(setting, "") {
			if !slices.Contains(got, n) {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", setting, got, want)
		}
	}
	if got := listened("4317", "--grpc-port"); !slices.Contains(got, 4317) {
		t.Errorf("--grpc-port 4317: %v", got)
	}
	if got := listened("4317", "--export-to"); got != nil {
		t.Errorf("--export-to 4317: %v", got)
	}
}
