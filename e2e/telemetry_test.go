//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// Images of the application and of the backends.
const (
	sdkImage    = "ghcr.io/nova/e2e-sdk:dev"
	jaegerImage = "ghcr.io/nova/e2e-jaeger:dev"
	xrayImage   = "ghcr.io/nova/e2e-xray:dev"
)

// The credentials of the fake X-Ray.
const accessKey, secretKey, region = "AKIDEXAMPLE", "not-a-secret", "eu-west-1"

// The SDK sends 20 traces of 5 spans. The sidecar reads its backend from the Secret
// "telemetry" of the namespace (manifests/overlays/kind).
const traces, spansOfATrace = 20, 5

func TestTraces(t *testing.T) {
	t.Parallel()
	t.Run("reach Jaeger", func(t *testing.T) {
		t.Parallel()
		n := inNamespace(t, true)
		n.backend("jaeger", jaegerImage, nil, 4317, map[string]string{sidecarapi.EnvBackend: sidecarapi.BackendJaeger})
		for _, protocol := range []sidecarapi.Protocol{sidecarapi.ProtocolGRPC, sidecarapi.ProtocolHTTP} {
			t.Run(string(protocol), func(t *testing.T) {
				n := namespace{n.Resources, t, n.name}
				pod := n.application("sdk-"+strings.ToLower(strings.Map(letter, string(protocol))), protocol)
				n.checkLedger(pod)
				for _, trace := range n.traces(pod) {
					var found jaegerAnswer
					eventually(t, "Jaeger has trace "+trace, time.Minute, func(ctx context.Context) (bool, error) {
						found = jaegerAnswer{}
						answer, err := n.get(ctx, "jaeger", 16686, "/api/traces/"+trace)
						return err == nil && json.Unmarshal(answer, &found) == nil && found.spans() == spansOfATrace, nil
					})
					if diff := cmp.Diff(podResource(pod), subset(found.resource(), podResource(pod))); diff != "" {
						t.Errorf("resource of trace %s (-want +got):\n%s", trace, diff)
					}
				}
			})
		}
	})

	t.Run("are signed for X-Ray", func(t *testing.T) {
		t.Parallel()
		n := inNamespace(t, true)
		n.backend("xray", xrayImage, []string{"-access-key=" + accessKey, "-secret-key=" + secretKey, "-region=" + region}, 4318, map[string]string{
			sidecarapi.EnvBackend: sidecarapi.BackendXRay, sidecarapi.EnvAWSRegion: region,
			"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
		})
		pod := n.application("sdk", sidecarapi.ProtocolGRPC)
		n.checkLedger(pod)
		var report struct {
			Spans    int
			Resource map[string]string
			Problems []string
		}
		answer, err := n.get(t.Context(), "xray", 8080, "/report")
		if err != nil || json.Unmarshal(answer, &report) != nil {
			t.Fatalf("ask for the report: %v: %s", err, answer)
		}
		if report.Spans != traces*spansOfATrace || len(report.Problems) > 0 {
			t.Errorf("%d spans arrived, want %d; problems: %q", report.Spans, traces*spansOfATrace, report.Problems)
		}
		if diff := cmp.Diff(podResource(pod), subset(report.Resource, podResource(pod))); diff != "" {
			t.Errorf("resource (-want +got):\n%s", diff)
		}
	})
}

// backend runs an image that receives OTLP, with a Service of the same name and the
// Secret that configures the sidecars of the namespace to use it.
func (n namespace) backend(name, image string, args []string, port int32, settings map[string]string) {
	n.t.Helper()
	d := deployment(n.name, name)
	d.Spec.Template.Labels[injection.LabelWiring] = injection.WiringDisabled
	c := &d.Spec.Template.Spec.Containers[0]
	c.Image, c.Args, c.Ports = image, args, nil
	c.ReadinessProbe.HTTPGet = nil
	c.ReadinessProbe.TCPSocket = &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}
	n.create(d)
	n.create(&corev1.Service{ObjectMeta: meta(n.name, name), Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": name},
		Ports:    []corev1.ServicePort{{Port: port}},
	}})
	settings = maps.Clone(settings)
	settings[sidecarapi.EnvEndpoint] = fmt.Sprintf("http://%s.%s.svc:%d", name, n.name, port)
	n.create(&corev1.Secret{ObjectMeta: meta(n.name, "telemetry"), StringData: settings})
	n.pod(name, readyOrSucceeded)
}

// application runs the stock SDK in a wired pod until it ends.
func (n namespace) application(name string, protocol sidecarapi.Protocol) *corev1.Pod {
	n.t.Helper()
	j := job(n.name, name).(*batchv1.Job)
	template := &j.Spec.Template
	template.Annotations = map[string]string{injection.AnnotationProtocol: string(protocol)}
	c := &template.Spec.Containers[0]
	c.Image, c.Ports = sdkImage, nil
	c.Args = []string{fmt.Sprint("-traces=", traces), fmt.Sprint("-children=", spansOfATrace-1), "-every=20ms"}
	n.create(j)
	pod := n.pod(name, func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	checkWired(n.t, pod)
	if pod.Status.Phase != corev1.PodSucceeded {
		n.t.Fatalf("the application %s", pod.Status.Phase)
	}
	return pod
}

// checkLedger checks the ledger in the sidecar's termination message.
func (n namespace) checkLedger(pod *corev1.Pod) {
	n.t.Helper()
	for _, s := range pod.Status.InitContainerStatuses {
		if s.Name != sidecarapi.ContainerName || s.State.Terminated == nil {
			continue
		}
		var message struct {
			Ledger map[string]struct{ Accepted, Exported int }
		}
		if err := json.Unmarshal([]byte(s.State.Terminated.Message), &message); err != nil {
			n.t.Fatalf("read ledger %q: %v", s.State.Terminated.Message, err)
		}
		if e := message.Ledger["traces"]; e.Accepted != traces*spansOfATrace || e.Exported != e.Accepted {
			n.t.Errorf("accepted %d, exported %d, want %d of both: %s", e.Accepted, e.Exported, traces*spansOfATrace, s.State.Terminated.Message)
		}
		return
	}
	n.t.Errorf("the sidecar has not ended: %+v", pod.Status.InitContainerStatuses)
}

func (n namespace) clientset() *kubernetes.Clientset {
	n.t.Helper()
	c, err := kubernetes.NewForConfig(n.GetConfig())
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// traces returns the trace ids that the application printed.
func (n namespace) traces(pod *corev1.Pod) (ids []string) {
	n.t.Helper()
	log, err := n.clientset().CoreV1().Pods(n.name).GetLogs(pod.Name, &corev1.PodLogOptions{Container: appContainer}).DoRaw(n.t.Context())
	if err != nil {
		n.t.Fatalf("read the application's log: %v", err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(log))); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "trace "); ok {
			ids = append(ids, id)
		}
	}
	if len(ids) != traces {
		n.t.Errorf("the application made %d traces, want %d", len(ids), traces)
	}
	return ids
}

// get requests a path of an app's pod through the API server.
func (n namespace) get(ctx context.Context, app string, port int, path string) ([]byte, error) {
	pods, err := n.pods(ctx, app)
	if err != nil || len(pods) == 0 {
		return nil, fmt.Errorf("no pod of %s: %w", app, err)
	}
	return n.clientset().CoreV1().Pods(n.name).ProxyGet("http", pods[0].Name, fmt.Sprint(port), path, nil).DoRaw(ctx)
}

// podResource returns the resource attributes that the pod's telemetry must have.
func podResource(pod *corev1.Pod) map[string]string {
	return map[string]string{
		"k8s.pod.name": pod.Name, "k8s.pod.uid": string(pod.UID), "k8s.namespace.name": pod.Namespace, "k8s.node.name": pod.Spec.NodeName,
	}
}

func subset(from, like map[string]string) map[string]string {
	picked := maps.Clone(from)
	maps.DeleteFunc(picked, func(key, _ string) bool { return !slices.Contains(slices.Collect(maps.Keys(like)), key) })
	return picked
}

func letter(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

// jaegerAnswer is the part of Jaeger's response that the test checks.
type jaegerAnswer struct {
	Data []struct {
		Spans     []struct{}
		Processes map[string]struct {
			Tags []struct{ Key, Value string }
		}
	}
}

func (a jaegerAnswer) spans() int {
	if len(a.Data) == 0 {
		return 0
	}
	return len(a.Data[0].Spans)
}

func (a jaegerAnswer) resource() map[string]string {
	resource := map[string]string{}
	for _, p := range a.Data[0].Processes {
		for _, tag := range p.Tags {
			resource[tag.Key] = tag.Value
		}
	}
	return resource
}
