package injection

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/api"
	"github.com/nova/novawire/api/attribute"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

var requestDefaults = Request{
	Collector: CollectorSidecar, Protocol: sidecarapi.ProtocolGRPC, TraceSampling: "1", Logs: true, Metrics: true,
	MetricsPath: "/metrics", MetricsScheme: "http",
	Sidecar: Resources{CPURequest: "10m", CPULimit: "200m", MemoryRequest: "32Mi", MemoryLimit: "64Mi"},
}

func annotations(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[AnnotationPrefix+pairs[i]] = pairs[i+1]
	}
	return m
}

func TestParseRequest_UsesTheStrongestValidLayer(t *testing.T) {
	r, mistakes := ParseRequest(requestDefaults,
		Layer{"namespace", annotations("protocol", "http/protobuf", "trace-sampling", "0.5", "logs", "none", "resource-attributes", "tier=gold,team=a")},
		Layer{"pod", annotations("protocol", "grcp", "trace-sampling", "0.25", "resource-attributes", "team=b", "containers", "app, worker")})
	want := requestDefaults
	want.Protocol, want.TraceSampling, want.Logs = sidecarapi.ProtocolHTTP, "0.25", false
	want.ResourceAttributes = []attribute.KeyValue{{Key: "tier", Value: "gold"}, {Key: "team", Value: "b"}}
	want.Containers = []string{"app", "worker"}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(mistakes) != 1 || mistakes[0].Setting != AnnotationProtocol || mistakes[0].Source != "pod" {
		t.Errorf("mistakes: %v", mistakes)
	}
}

func TestParseRequest_IgnoresBadValues(t *testing.T) {
	for key, values := range map[string][]string{
		"collector":              {"", "Sidecar", "daemonset"},
		"protocol":               {"http", "grpc "},
		"service-name":           {"", " x", "a\nb", strings.Repeat("x", 256)},
		"resource-attributes":    {"team", "=x", "$(X)", "a=1,b"},
		"trace-sampling":         {"", "2", "-0.1", "NaN", "0x1p-2", "half", "1_0e-1"},
		"containers":             {"", "a,,b", ","},
		"logs":                   {"yes", "true"},
		"metrics":                {"yes", "on"},
		"span-metrics":           {"", "yes", "TRUE"},
		"metrics-port":           {"", "0", "65536", "UPPER", "sixteen-letters-x", "+80", "0080", "-80", "8080-", "-a", "a--b"},
		"metrics-path":           {"", "metrics", "/a b"},
		"metrics-scheme":         {"HTTP", "ftp"},
		"sidecar-cpu-request":    {"", "one", "-1", "1.5.1", "10x"},
		"sidecar-cpu-limit":      {"1m", "0"},
		"sidecar-memory-request": {"64MB", "64 Mi"},
		"sidecar-memory-limit":   {"16Mi", "1"},
		"no-such-key":            {"x"},
	} {
		for _, value := range values {
			r, mistakes := ParseRequest(requestDefaults, Layer{"pod", annotations(key, value)})
			if len(mistakes) != 1 {
				t.Errorf("%s=%q: mistakes %v", key, value, mistakes)
			}
			if diff := cmp.Diff(requestDefaults, r); diff != "" {
				t.Errorf("%s=%q: -want +got:\n%s", key, value, diff)
			}
		}
	}
}

func TestParseRequest_FitsResources(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		want        Resources
		mistakes    int
	}{
		"a request above the default limit raises it": {
			annotations("sidecar-memory-request", "128Mi"), Resources{"10m", "200m", "128Mi", "128Mi"}, 0,
		},
		"a limit below the default request lowers it": {
			annotations("sidecar-cpu-request", "150m", "sidecar-memory-limit", "32Mi"), Resources{"150m", "200m", "32Mi", "32Mi"}, 0,
		},
		"a request above its own limit is a mistake": {
			annotations("sidecar-cpu-request", "2", "sidecar-cpu-limit", "1"), Resources{"1", "1", "32Mi", "64Mi"}, 1,
		},
	} {
		r, mistakes := ParseRequest(requestDefaults, Layer{"pod", c.annotations})
		if diff := cmp.Diff(c.want, r.Sidecar); diff != "" || len(mistakes) != c.mistakes {
			t.Errorf("%s: mistakes %v, -want +got:\n%s", name, mistakes, diff)
		}
		if err := r.Sidecar.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRequest_SuggestsTheNearestKey(t *testing.T) {
	_, mistakes := ParseRequest(requestDefaults, Layer{"pod", annotations("sevice-name", "x")})
	if len(mistakes) != 1 || !strings.Contains(mistakes[0].Error(), AnnotationServiceName) {
		t.Errorf("mistakes: %v", mistakes)
	}
	if near := api.Nearest(keys, "inject.nova.dev/entirely-different"); near != "" {
		t.Errorf("%q is not near", near)
	}
}

func TestParseRequest_OpenTelemetryAnnotationsRankFirst(t *testing.T) {
	pod := annotations("resource-attributes", "team=a,tier=gold", "service-name", "ours")
	pod["resource.opentelemetry.io/team"] = "b"
	pod["resource.opentelemetry.io/service.name"] = "theirs"
	pod["resource.opentelemetry.io/service.version"] = "7"
	namespace := map[string]string{"resource.opentelemetry.io/tier": "ignored"}
	r, mistakes := ParseRequest(requestDefaults, Layer{"namespace", namespace}, Layer{SourcePod, pod})
	want := requestDefaults
	want.ServiceName, want.ServiceNameFrom = "theirs", SourcePod
	want.ResourceAttributes = []attribute.KeyValue{{Key: "team", Value: "b"}, {Key: "tier", Value: "gold"}, {Key: "service.version", Value: "7"}}
	if diff := cmp.Diff(want, r); diff != "" || len(mistakes) > 0 {
		t.Errorf("mistakes %v, -want +got:\n%s", mistakes, diff)
	}
	_, mistakes = ParseRequest(requestDefaults, Layer{SourcePod, map[string]string{"resource.opentelemetry.io/service.name": "a\nb"}})
	if len(mistakes) != 1 || mistakes[0].Setting != "resource.opentelemetry.io/service.name" {
		t.Errorf("mistakes: %v", mistakes)
	}
}
