package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/cluster"
	"github.com/nova/novawire/webhook/inject"
)

// limitsCase is a namespace with limits, and a pod that they admit without the sidecar.
type limitsCase struct {
	ranges []string // the items of a LimitRange each, as YAML
	quota  string   // the spec of a ResourceQuota, as YAML
	used   string
	pod    string // the spec, as YAML; "" for a small pod

	want     string // the sidecar's "requests; limits", or the collector
	note     string // in the status annotation
	admitted bool   // also the pod whose sidecar is as configured
}

const (
	smallPod   = `{containers: [{name: app, image: app, resources: {requests: {cpu: 5m, memory: 8Mi}, limits: {cpu: 5m, memory: 8Mi}}}]}`
	burstable  = `{containers: [{name: app, image: app, resources: {requests: {cpu: 100m, memory: 50Mi}, limits: {cpu: 200m, memory: 50Mi}}}]}`
	unlimited  = `{containers: [{name: app, image: app, resources: {requests: {cpu: 100m, memory: 100Mi}}}]}`
	guaranteed = `{containers: [{name: app, image: app, resources: {limits: {cpu: 100m, memory: 100Mi}}}]}`
	usual      = "10m 32Mi; 200m 64Mi"
)

var limitsCases = map[string]limitsCase{
	"a ratio for CPU lowers the limit":                {ranges: []string{`{type: Container, maxLimitRequestRatio: {cpu: "2"}}`}, pod: burstable, want: "10m 32Mi; 20m 64Mi", note: "resized"},
	"a ratio for memory raises the request":           {ranges: []string{`{type: Container, maxLimitRequestRatio: {memory: "1"}}`}, pod: burstable, want: "10m 64Mi; 200m 64Mi", note: "resized"},
	"a ratio between the two":                         {ranges: []string{`{type: Container, maxLimitRequestRatio: {cpu: "7500m", memory: "1500m"}}`}, pod: burstable, want: "10m 44739243; 75m 64Mi", note: "resized"},
	"a ratio and a maximum":                           {ranges: []string{`{type: Container, max: {memory: 48Mi, cpu: 1}, maxLimitRequestRatio: {memory: "1"}}`}, pod: smallPodBurstable, want: "10m 48Mi; 200m 48Mi", note: "resized"},
	"a maximum below the limit":                       {ranges: []string{`{type: Container, max: {cpu: 100m, memory: 48Mi}}`}, pod: smallPodBurstable, want: "10m 32Mi; 100m 48Mi", note: "resized"},
	"a maximum below what the sidecar needs":          {ranges: []string{`{type: Container, max: {memory: 16Mi}}`}, want: "gateway", note: "limit-range memory"},
	"a maximum of CPU below what the sidecar needs":   {ranges: []string{`{type: Container, max: {cpu: 5m}}`}, pod: smallPod, want: "gateway", note: "limit-range cpu"},
	"a minimum above the request":                     {ranges: []string{`{type: Container, min: {cpu: 20m, memory: 50Mi}}`}, pod: unlimited, want: "20m 50Mi; 200m 64Mi", note: "resized"},
	"a minimum above the limit":                       {ranges: []string{`{type: Container, min: {cpu: 300m, memory: 100Mi}}`}, pod: `{containers: [{name: app, image: app, resources: {requests: {cpu: 300m, memory: 100Mi}}}]}`, want: "300m 100Mi; 300m 100Mi", note: "resized"},
	"one size for all containers":                     {ranges: []string{`{type: Container, min: {memory: 100Mi}, max: {memory: 100Mi}}`}, pod: `{containers: [{name: app, image: app}]}`, want: "10m 100Mi; 200m 100Mi", note: "resized"},
	"two LimitRanges":                                 {ranges: []string{`{type: Container, max: {cpu: 100m}}`, `{type: Container, maxLimitRequestRatio: {cpu: "5"}}`}, pod: `{containers: [{name: app, image: app, resources: {requests: {cpu: 50m}, limits: {cpu: 100m}}}]}`, want: "10m 32Mi; 50m 64Mi", note: "resized"},
	"a pod of class Guaranteed":                       {ranges: []string{`{type: Container, max: {cpu: 100m, memory: 100Mi}, maxLimitRequestRatio: {cpu: "1", memory: "1"}}`}, pod: guaranteed, want: "100m 64Mi; 100m 64Mi", note: "guaranteed"},
	"defaults alone":                                  {ranges: []string{`{type: Container, default: {cpu: 5m, memory: 8Mi}}`}, pod: `{containers: [{name: app, image: app, resources: {requests: {cpu: 1m}}}]}`, want: usual, admitted: true, note: ""},
	"a maximum of another resource":                   {ranges: []string{`{type: Container, max: {ephemeral-storage: 1Gi}}`}, want: usual + " and others", admitted: true},
	"a maximum of the pod leaves room":                {ranges: []string{`{type: Pod, max: {memory: 100Mi}}`}, pod: burstable, want: "10m 32Mi; 200m 50Mi", note: "resized"},
	"a maximum of the pod leaves room for a request":  {ranges: []string{`{type: Pod, max: {cpu: 210m}}`}, pod: burstable, want: "10m 32Mi; 10m 64Mi", note: "resized"},
	"a maximum of the pod leaves no room":             {ranges: []string{`{type: Pod, max: {memory: 70Mi}}`}, pod: burstable, want: "gateway", note: "limit-range memory"},
	"an init container runs beside the sidecar":       {ranges: []string{`{type: Pod, max: {memory: 100Mi}}`}, pod: withInit(`{name: init, image: i, resources: {limits: {memory: 60Mi}}}`), want: "10m 32Mi; 200m 40Mi", note: "resized"},
	"a large init container runs before the mesh":     {ranges: []string{`{type: Pod, max: {memory: 210Mi}}`}, pod: withInit(`{name: init, image: i, resources: {limits: {memory: 200Mi}}}, {name: istio-proxy, image: p, restartPolicy: Always, resources: {limits: {memory: 10Mi}}}`), want: usual, admitted: true},
	"a large init container runs beside the mesh":     {ranges: []string{`{type: Pod, max: {memory: 210Mi}}`}, pod: withInit(`{name: istio-proxy, image: p, restartPolicy: Always, resources: {limits: {memory: 10Mi}}}, {name: init, image: i, resources: {limits: {memory: 160Mi}}}`), want: "10m 32Mi; 200m 40Mi", note: "resized"},
	"a ratio of the pod for CPU":                      {ranges: []string{`{type: Pod, maxLimitRequestRatio: {cpu: "2"}}`}, pod: burstable, want: "10m 32Mi; 20m 64Mi", note: "resized"},
	"a ratio of the pod for memory":                   {ranges: []string{`{type: Pod, maxLimitRequestRatio: {memory: "1"}}`}, pod: burstable, want: "10m 64Mi; 200m 64Mi", note: "resized"},
	"a minimum of the pod, which has no limits":       {ranges: []string{`{type: Pod, min: {memory: 100Mi, cpu: 100m}}`}, pod: unlimited, want: "10m 32Mi; 200m 100Mi", note: "resized"},
	"limits of the pod and of containers":             {ranges: []string{`{type: Container, max: {cpu: 200m}}`, `{type: Pod, max: {cpu: 250m}, maxLimitRequestRatio: {cpu: "2"}}`}, pod: burstable, want: "10m 32Mi; 20m 64Mi", note: "resized"},
	"pod-level resources and a default of containers": {ranges: []string{`{type: Container, default: {memory: 60Mi}}`}, pod: `{resources: {requests: {memory: 100Mi}, limits: {memory: 100Mi}}, containers: [{name: app, image: app}]}`, want: "gateway", note: "limit-range memory"},
	"pod-level resources without limits":              {pod: `{resources: {requests: {memory: 100Mi}, limits: {memory: 100Mi}}, containers: [{name: app, image: app}]}`, want: ";", note: "pod-resources", admitted: true},

	"a quota of requests without room":                  {quota: `{hard: {requests.memory: 16Mi}}`, want: "gateway", note: "resource-quota requests.memory"},
	"a quota of limits without room":                    {quota: `{hard: {limits.cpu: "1"}}`, used: `{limits.cpu: 900m}`, want: "gateway", note: "resource-quota limits.cpu"},
	"a quota that is used up but for the app":           {quota: `{hard: {memory: 1Gi}}`, used: `{memory: 1000Mi}`, want: "gateway", note: "resource-quota requests.memory"},
	"a quota with room":                                 {quota: `{hard: {requests.memory: 1Gi, limits.memory: 1Gi, requests.cpu: "1", limits.cpu: "1"}}`, want: usual, admitted: true},
	"a quota of another priority":                       {quota: `{hard: {requests.memory: 16Mi}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}}`, want: usual, admitted: true},
	"a quota of all other priorities":                   {quota: `{hard: {requests.memory: 16Mi}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: NotIn, values: [high]}]}}`, want: "gateway", note: "resource-quota requests.memory"},
	"a quota of Jobs with a deadline":                   {quota: `{hard: {requests.memory: 16Mi}, scopes: [Terminating]}`, want: usual, admitted: true},
	"a quota of pods without a deadline":                {quota: `{hard: {requests.memory: 16Mi}, scopes: [NotTerminating, NotBestEffort]}`, want: "gateway", note: "resource-quota requests.memory"},
	"a quota that fits only the resized sidecar":        {ranges: []string{`{type: Container, max: {memory: 48Mi}}`}, quota: `{hard: {limits.memory: 60Mi}}`, want: usual[:8] + "; 200m 48Mi", note: "resized"},
	"neither a gateway for the protocol nor any room":   {quota: `{hard: {requests.memory: 16Mi}}`, pod: "http", want: "none", note: "resource-quota requests.memory"},
	"a quota that counts the RuntimeClass, of requests": {quota: `{hard: {memory: 250Mi}}`, pod: kata, want: "gateway", note: "resource-quota requests.memory"},
	"a quota that counts the RuntimeClass, of limits":   {quota: `{hard: {limits.memory: 270Mi}}`, pod: kata, want: "gateway", note: "resource-quota limits.memory"},
	"a LimitRange does not count the RuntimeClass":      {ranges: []string{`{type: Pod, max: {memory: 130Mi}}`}, pod: kata, want: usual, admitted: true},

	"a quota of pods that are not BestEffort":       {quota: `{hard: {pods: "0"}, scopes: [NotBestEffort]}`, pod: bestEffort, want: "gateway", note: "resource-quota pods"},
	"a quota of them by a selector":                 {quota: `{hard: {pods: "1"}, scopeSelector: {matchExpressions: [{scopeName: NotBestEffort, operator: Exists}]}}`, used: `{pods: "1"}`, pod: bestEffort, want: "gateway", note: "resource-quota pods"},
	"a quota of pods that are not BestEffort, room": {quota: `{hard: {pods: "1"}, scopes: [NotBestEffort]}`, pod: bestEffort, want: usual, admitted: true},
	"a quota of pods that are not, as this one":     {quota: `{hard: {pods: "1"}, scopes: [NotBestEffort]}`, want: usual, admitted: true},
	"a quota of pods that are BestEffort":           {quota: `{hard: {pods: "1"}, scopes: [BestEffort]}`, pod: bestEffort, want: usual, admitted: true},

	"a default of storage, and a quota of requests":    {ranges: []string{`{type: Container, default: {ephemeral-storage: 600Mi}}`}, quota: `{hard: {ephemeral-storage: 1Gi}}`, want: "gateway", note: "resource-quota requests.ephemeral-storage"},
	"a default of storage, and a quota of limits":      {ranges: []string{`{type: Container, default: {ephemeral-storage: 600Mi}, defaultRequest: {ephemeral-storage: 1Mi}}`}, quota: `{hard: {requests.ephemeral-storage: 1Gi, limits.ephemeral-storage: 1Gi}}`, want: "gateway", note: "resource-quota limits.ephemeral-storage"},
	"a default of storage, and a quota with room":      {ranges: []string{`{type: Container, default: {ephemeral-storage: 500Mi}}`}, quota: `{hard: {ephemeral-storage: 1Gi, limits.ephemeral-storage: 1Gi}}`, want: usual + " and others", admitted: true},
	"a default of storage, and a maximum of the pod":   {ranges: []string{`{type: Container, default: {ephemeral-storage: 600Mi}}`, `{type: Pod, max: {ephemeral-storage: 1Gi}}`}, want: "gateway", note: "limit-range ephemeral-storage"},
	"a default of storage, and a ratio of the pod":     {ranges: []string{`{type: Container, default: {ephemeral-storage: 1Gi}, defaultRequest: {ephemeral-storage: 1Mi}}`, `{type: Pod, maxLimitRequestRatio: {ephemeral-storage: "1"}}`}, pod: stored, want: "gateway", note: "limit-range ephemeral-storage"},
	"a default of storage above a ratio":               {ranges: []string{`{type: Container, default: {ephemeral-storage: 1Gi}, defaultRequest: {ephemeral-storage: 100Mi}, maxLimitRequestRatio: {ephemeral-storage: "2"}}`}, pod: stored, want: "gateway", note: "limit-range ephemeral-storage"},
	"a default of storage below a minimum":             {ranges: []string{`{type: Container, min: {ephemeral-storage: 1Gi}}`, `{type: Container, default: {ephemeral-storage: 500Mi}}`}, pod: stored, want: "gateway", note: "limit-range ephemeral-storage"},
	"a default of storage, and pod-level resources":    {ranges: []string{`{type: Container, default: {ephemeral-storage: 600Mi}}`}, quota: `{hard: {ephemeral-storage: 1Gi, limits.memory: 100Mi}}`, pod: podLevel, want: "gateway", note: "resource-quota requests.ephemeral-storage"},
	"a quota with room that counts the init container": {quota: `{hard: {requests.memory: 70Mi}}`, pod: withInit(`{name: init, image: i, resources: {limits: {memory: 60Mi}}}`), want: "gateway", note: "resource-quota requests.memory"},
}

const (
	kata       = `{runtimeClassName: kata, containers: [{name: app, image: app, resources: {requests: {cpu: 1m, memory: 64Mi}, limits: {cpu: 2m, memory: 64Mi}}}]}` // 160Mi more
	bestEffort = `{containers: [{name: app, image: app}]}`
	stored     = `{containers: [{name: app, image: app, resources: {limits: {ephemeral-storage: 1Gi}}}]}`
	podLevel   = `{resources: {requests: {memory: 100Mi}, limits: {memory: 100Mi}}, containers: [{name: app, image: app}]}`
)

const smallPodBurstable = `{containers: [{name: app, image: app, resources: {requests: {cpu: 5m, memory: 8Mi}, limits: {cpu: 6m, memory: 8Mi}}}]}`

// withInit returns a pod of 20Mi without CPU requests, with init containers.
func withInit(containers string) string {
	return `{initContainers: [` + containers + `], containers: [{name: app, image: app, resources: {limits: {memory: 20Mi}}}]}`
}

// respectsLimits compares with the API server's own plugins LimitRanger and ResourceQuota: in
// each namespace the pod that opted out is admitted, the one whose sidecar is as configured
// is refused, and the one that the webhook wires is admitted.
func respectsLimits(m *environment, t *testing.T) {
	config := inject.DefaultConfig()
	config.Gateway.GRPCEndpoint = "http://gateway:4317"
	engine, err := inject.New(config)
	if err != nil {
		t.Fatal(err)
	}
	class := &nodev1.RuntimeClass{Handler: "kata", Overhead: &nodev1.Overhead{PodFixed: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("160Mi")}}}
	class.Name = "kata"
	m.create(class)
	for name, c := range limitsCases {
		t.Run(name, func(t *testing.T) {
			sub := *m
			sub.TB = t
			ns := sub.namespace(nil)
			sub.limit(ns, c)
			pod := c.podIn(&sub, ns)
			plain := sub.optedOut(pod)
			sub.eventually("admitted without wiring", func() bool { return sub.client.Create(t.Context(), plain.DeepCopy(), client.DryRunAll) == nil })
			asConfigured := sub.wiredWithoutLimits(engine, pod)
			sub.eventually(fmt.Sprintf("decided: the sidecar as configured is admitted: %t", c.admitted), func() bool {
				return (sub.client.Create(t.Context(), asConfigured.DeepCopy(), client.DryRunAll) == nil) == c.admitted
			})
			var wired *corev1.Pod
			sub.eventually("wired and admitted", func() bool {
				wired = pod.DeepCopy()
				err := sub.client.Create(t.Context(), wired, client.DryRunAll)
				return err == nil && isWired(wired)
			})
			status, _ := inject.ReadStatus(wired.Annotations)
			if got := sidecarSize(wired, status); got != c.want || !strings.Contains(strings.Join(status.Notes, ";"), c.note) {
				t.Errorf("sidecar %q, notes %q; want %q and %q", got, status.Notes, c.want, c.note)
			}
			if c.note == "" && strings.Contains(fmt.Sprint(status.Notes), "resized") {
				t.Errorf("notes %q", status.Notes)
			}
		})
	}
}

func (m *environment) limit(ns string, c limitsCase) {
	m.Helper()
	for i, item := range c.ranges {
		r := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("limits-%d", i), Namespace: ns}}
		m.decode("spec: {limits: ["+item+"]}", r)
		r.Namespace = ns
		m.create(r)
	}
	if c.quota == "" {
		return
	}
	q := &corev1.ResourceQuota{}
	m.decode("spec: "+c.quota, q)
	q.Name, q.Namespace = "compute", ns
	m.create(q)
	m.decode("status: {used: "+c.used+"}", q)
	q.Status.Hard = q.Spec.Hard
	for name := range q.Spec.Hard { // the controller that counts does not run here
		if _, counted := q.Status.Used[name]; !counted {
			if q.Status.Used == nil {
				q.Status.Used = corev1.ResourceList{}
			}
			q.Status.Used[name] = resource.Quantity{}
		}
	}
	if err := m.client.Status().Update(m.Context(), q); err != nil {
		m.Fatal(err)
	}
}

func (c limitsCase) podIn(m *environment, ns string) *corev1.Pod {
	m.Helper()
	pod := &corev1.Pod{}
	text := c.pod
	if text == "" || text == "http" {
		text = smallPodBurstable
	}
	m.decode("spec: "+text, pod)
	pod.GenerateName, pod.Namespace = "app-", ns
	if c.pod == "http" {
		pod.Annotations = map[string]string{injection.AnnotationProtocol: "http/protobuf"}
	}
	return pod
}

func (m *environment) optedOut(pod *corev1.Pod) *corev1.Pod {
	out := pod.DeepCopy()
	out.Labels = map[string]string{injection.LabelWiring: injection.WiringDisabled}
	return out
}

// wiredWithoutLimits returns the pod as an engine wires it that knows no limits.
func (m *environment) wiredWithoutLimits(engine *inject.Engine, pod *corev1.Pod) *corev1.Pod {
	m.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		m.Fatal(err)
	}
	result, err := engine.Pod(raw, inject.Namespace{Name: pod.Namespace})
	if err != nil {
		m.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(result.Patch)
	if err != nil {
		m.Fatal(err)
	}
	if raw, err = patch.Apply(raw); err != nil {
		m.Fatal(err)
	}
	var wired corev1.Pod
	if err := yaml.Unmarshal(raw, &wired); err != nil {
		m.Fatal(err)
	}
	return m.optedOut(&wired)
}

// sidecarSize returns "requests; limits" of the sidecar, or the collector that is used.
func sidecarSize(pod *corev1.Pod, status inject.Status) string {
	for _, c := range pod.Spec.InitContainers {
		if c.Name != sidecarapi.ContainerName {
			continue
		}
		text := func(r corev1.ResourceList) string {
			if len(r) == 0 {
				return ""
			}
			return r.Cpu().String() + " " + r.Memory().String()
		}
		size := text(c.Resources.Requests) + "; " + text(c.Resources.Limits)
		if len(c.Resources.Limits) > 2 {
			size += " and others"
		}
		return strings.TrimSpace(size)
	}
	if status.Collector == injection.CollectorNone && value(pod.Spec.Containers[0], "OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		return "none, with an endpoint"
	}
	return string(status.Collector)
}

// A replica is ready when it knows the limits, or has learned that it may not read them.
func TestLimitsWatch(t *testing.T) {
	admin := cluster.Config(t)
	c, err := client.New(admin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	maximum := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: "default"}}
	maximum.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}}}
	if err := c.Create(t.Context(), maximum); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(context.Background(), maximum) })
	nobody := rest.CopyConfig(admin)
	nobody.Impersonate.UserName = "without-rights"
	for name, config := range map[string]*rest.Config{"with the right": admin, "without the right": nobody} {
		t.Run(name, func(t *testing.T) {
			mgr, err := manager.New(config, manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
			if err != nil {
				t.Fatal(err)
			}
			watch, err := newLimitsWatch(t.Context(), mgr)
			if err != nil {
				t.Fatal(err)
			}
			if watch.ready(nil) == nil {
				t.Error("it is ready before it has asked")
			}
			ended := make(chan error, 1)
			ctx, stop := context.WithCancel(t.Context())
			go func() { ended <- watch.Start(ctx) }()
			eventually(t, "ready", func() bool { return watch.ready(nil) == nil })
			if known := watch.known.Namespace("default") != nil; known != (config == admin) {
				t.Errorf("the limits are known: %t", known)
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
