package injection

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/api/attribute"
)

func TestPolicy_ParseRequest(t *testing.T) {
	cpu := Policy{SidecarMaximum: Maximum{CPU: "500m", Memory: "128Mi"}}
	for name, c := range map[string]struct {
		policy         Policy
		namespace, pod map[string]string
		change         func(*Request) // of the defaults
		refused        []string       // "source setting: part of the reason"
	}{
		"nothing is limited by default": {
			Policy{},
			annotations("logs", "none"), annotations("trace-sampling", "0.5", "sidecar-memory-limit", "64Gi"),
			func(r *Request) { r.Logs, r.TraceSampling, r.Sidecar.MemoryLimit = false, "0.5", "64Gi" }, nil,
		},
		"a pod may set what is listed": {
			Policy{Pod: []string{AnnotationLogs}},
			nil, annotations("logs", "none", "trace-sampling", "0"),
			func(r *Request) { r.Logs = false },
			[]string{"pod inject.nova.dev/trace-sampling: the platform does not let a pod set it; it may set logs"},
		},
		"an empty list allows nothing": {
			Policy{Pod: []string{}, Namespace: []string{}},
			annotations("metrics", "false"), annotations("logs", "none"), func(*Request) {},
			[]string{"namespace inject.nova.dev/metrics: it may set no annotation", "pod inject.nova.dev/logs: it may set no annotation"},
		},
		"each layer has its own list": {
			Policy{Namespace: []string{AnnotationLogs}, Pod: []string{}},
			annotations("logs", "none"), annotations("logs", "structured"),
			func(r *Request) { r.Logs = false },
			[]string{"pod inject.nova.dev/logs: may set no annotation"},
		},
		"the namespace's value holds where the pod's is not allowed": {
			Policy{Pod: []string{}},
			annotations("trace-sampling", "0.5"), annotations("trace-sampling", "1"),
			func(r *Request) { r.TraceSampling = "0.5" },
			[]string{"pod inject.nova.dev/trace-sampling: "},
		},
		"a value that is not allowed is not checked": {
			Policy{Pod: []string{}},
			nil, annotations("collector", "sidcar"), func(*Request) {},
			[]string{"pod inject.nova.dev/collector: does not let a pod set it"},
		},
		"an unknown key stays a mistake": {
			Policy{Pod: []string{}},
			nil, annotations("sevice-name", "x"), func(*Request) {},
			[]string{"pod inject.nova.dev/sevice-name: did you mean"},
		},
		"values up to the maximum": {
			cpu, nil, annotations("sidecar-cpu-limit", "0.5", "sidecar-memory-limit", "128Mi"),
			func(r *Request) { r.Sidecar.CPULimit, r.Sidecar.MemoryLimit = "0.5", "128Mi" }, nil,
		},
		"values above the maximum, of both layers": {
			cpu, annotations("sidecar-memory-limit", "1Gi"), annotations("sidecar-cpu-request", "2", "sidecar-cpu-limit", "501m", "sidecar-memory-request", "129Mi"), func(*Request) {},
			[]string{
				"namespace inject.nova.dev/sidecar-memory-limit: at most 128Mi",
				"pod inject.nova.dev/sidecar-cpu-request: at most 500m", "pod inject.nova.dev/sidecar-cpu-limit: at most 500m",
				"pod inject.nova.dev/sidecar-memory-request: at most 128Mi",
			},
		},
		"a request within the maximum that raises the limit": {
			cpu, nil, annotations("sidecar-cpu-request", "400m"), func(r *Request) { r.Sidecar.CPURequest, r.Sidecar.CPULimit = "400m", "400m" }, nil,
		},
		"attributes are allowed and the service name is not": {
			Policy{Pod: []string{AnnotationResourceAttributes}},
			nil, annotations("service-name", "a", "resource-attributes", "team=b,service.name=c"),
			func(r *Request) { r.ResourceAttributes = []attribute.KeyValue{{Key: "team", Value: "b"}} },
			[]string{"pod inject.nova.dev/service-name: it may set resource-attributes", "pod inject.nova.dev/service-name: it may set resource-attributes"},
		},
		"annotations of OpenTelemetry are no way around it": {
			Policy{Pod: []string{}},
			nil,
			map[string]string{OpenTelemetryPrefix + "service.name": "a", OpenTelemetryPrefix + "team": "b"},
			func(*Request) {},
			[]string{"pod resource.opentelemetry.io/service.name: ", "pod resource.opentelemetry.io/team: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := requestDefaults
			c.change(&want)
			got, refusals := c.policy.ParseRequest(requestDefaults, Layer{SourceNamespace, c.namespace}, Layer{SourcePod, c.pod})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if len(refusals) != len(c.refused) {
				t.Fatalf("refused %v, want %q", refusals, c.refused)
			}
			for i, refusal := range refusals {
				setting, reason, _ := strings.Cut(c.refused[i], ": ")
				if refusal.Source+" "+refusal.Setting != setting || !strings.Contains(refusal.Error(), reason) {
					t.Errorf("%+v, want %q", refusal, c.refused[i])
				}
				if refusal.Forbidden == strings.Contains(c.refused[i], "did you mean") {
					t.Errorf("forbidden: %t: %v", refusal.Forbidden, refusal)
				}
			}
		})
	}
}

func TestPolicy_Validate(t *testing.T) {
	for want, p := range map[string]Policy{
		"": {Namespace: []string{AnnotationLogs}, Pod: []string{}, SidecarMaximum: Maximum{CPU: "1", Memory: "32Mi"}},
		`pod: "inject.nova.dev/sevice-name" is not an annotation of pods; did you mean inject.nova.dev/service-name?`: {Pod: []string{"inject.nova.dev/sevice-name"}},
		`namespace: "logs" is not an annotation of pods`:                                                              {Namespace: []string{"logs"}},
		`pod: "inject.nova.dev/status" is not`:                                                                        {Pod: []string{AnnotationStatus}},
		`sidecarMaximum.cpu: "much": use a quantity`:                                                                  {SidecarMaximum: Maximum{CPU: "much"}},
		`sidecarMaximum.memory: "16Mi": use 32Mi or more`:                                                             {SidecarMaximum: Maximum{Memory: "16Mi"}},
	} {
		if err := p.Validate(); want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
