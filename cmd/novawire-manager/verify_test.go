package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// verifyCase is a pod that explain --verify judges.
type verifyCase struct {
	pod    string // the template of its owner, as YAML; "" for a plain one
	before func(m *environment, ns string)
	add    func(*corev1.Pod) // what another webhook would add
	after  string            // a merge patch of the pod, once it is there
	change func(m *environment, ns string)
	owner  string // the kind; "" for ReplicaSet
	flags  []string

	verdict string
	fields  []string // that differ
}

const fullTemplate = `
metadata:
  labels: {app: app, pod-template-hash: 7d9c, logging: plain}
  annotations: {inject.nova.dev/resource-attributes: team=core, inject.nova.dev/metrics-port: "9090"}
spec:
  initContainers: [{name: migrate, image: app}]
  containers:
  - name: app
    image: app:1.2.3
    env: [{name: OTEL_RESOURCE_ATTRIBUTES, value: shift=night}, {name: OTEL_SERVICE_NAME, value: mine}, {name: LEVEL, value: info}]
    ports: [{name: metrics, containerPort: 9090}]
    resources: {requests: {cpu: 100m, memory: 100Mi}}
  - {name: second, image: second}
`

const plainTemplate = `
metadata: {labels: {app: app, pod-template-hash: 7d9c}}
spec: {containers: [{name: app, image: app, ports: [{name: metrics, containerPort: 9090}]}]}
`

var verifyCases = map[string]verifyCase{
	"a plain pod":            {verdict: "verified"},
	"a pod with settings":    {pod: fullTemplate, verdict: "verified"},
	"a pod of a StatefulSet": {owner: "StatefulSet", verdict: "verified"},
	"a pod of a DaemonSet":   {owner: "DaemonSet", verdict: "verified"},
	"a pod without an owner": {owner: "none", verdict: "no-template"},
	"a pod of kubectl apply": {owner: "applied", verdict: "verified"},
	"a container of another webhook": {verdict: "verified", add: func(p *corev1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "agent", Image: "agent", Env: []corev1.EnvVar{{Name: "OTEL_SERVICE_NAME", Value: "agent"}}})
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "AGENT", Value: "on"})
	}},
	"a resized sidecar": {verdict: "verified", before: func(m *environment, ns string) {
		m.limit(ns, limitsCase{ranges: []string{`{type: Container, default: {cpu: 100m}, max: {cpu: 100m}}`}})
		m.eventually("limited", func() bool { return strings.Contains(fmt.Sprint(m.dryRunNotes(ns)), "resized") })
	}},
	"a quota that had no room then, and has now": {verdict: "verified", before: func(m *environment, ns string) {
		m.limit(ns, limitsCase{quota: `{hard: {pods: "9", limits.memory: 16Mi}}`})
		m.eventually("limited", func() bool { return strings.Contains(fmt.Sprint(m.dryRunNotes(ns)), "resource-quota") })
	}, pod: strings.Replace(plainTemplate, "image: app", "image: app, resources: {limits: {memory: 1Mi}}", 1), change: func(m *environment, ns string) {
		if err := m.client.Delete(m.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "compute"}}); err != nil {
			m.Fatal(err)
		}
	}},
	"an annotation that somebody changed": {after: `{"metadata":{"annotations":{"prometheus.io/port":"1"}}}`, verdict: "changed", fields: []string{"metadata.annotations.prometheus.io/port"}},
	"a label that somebody removed":       {after: `{"metadata":{"labels":{"logging":null}}}`, verdict: "changed", fields: []string{"metadata.labels.logging"}},
	"another image of the sidecar": {
		after: `{"spec":{"initContainers":[{"name":"novawire-collector","image":"other"}]}}`, verdict: "changed", fields: []string{"spec.initContainers.novawire-collector.image"},
	},
	"a status that somebody wrote": {
		after: `{"metadata":{"annotations":{"inject.nova.dev/status":"{\"config\":\"HASH\",\"collector\":\"none\"}"}}}`, verdict: "changed", fields: []string{"metadata.annotations.inject.nova.dev/status"},
	},
	"a status that somebody removed": {after: `{"metadata":{"annotations":{"inject.nova.dev/status":null}}}`, verdict: "not-wired"},
	"another configuration":          {flags: []string{"--config", "/dev/null"}, verdict: "other-configuration"},
	"a variable that the template does not have": {verdict: "changed", fields: []string{"spec.containers.app.env.OTEL_SERVICE_NAME", "metadata.annotations.inject.nova.dev/status"}, add: func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "OTEL_SERVICE_NAME", Value: "forged"})
	}},
	"another version": {after: `{"metadata":{"annotations":{"inject.nova.dev/status":"{\"version\":\"v0.0.1\",\"config\":\"HASH\",\"collector\":\"none\"}"}}}`, verdict: "other-version", fields: []string{"metadata.annotations.inject.nova.dev/status"}},
}

func TestExplain_Verify(t *testing.T) {
	m := startManager(t)
	for name, c := range verifyCases {
		t.Run(name, func(t *testing.T) {
			sub := *m
			sub.TB = t
			ns := sub.namespace(nil)
			if c.before != nil {
				c.before(&sub, ns)
			}
			pod := sub.ownedPod(ns, c)
			hash := sub.hashOf(pod)
			if c.after != "" {
				patch := client.RawPatch("application/strategic-merge-patch+json", []byte(strings.ReplaceAll(c.after, "HASH", hash)))
				if err := sub.client.Patch(t.Context(), pod, patch); err != nil {
					t.Fatal(err)
				}
			}
			if c.change != nil {
				c.change(&sub, ns)
			}
			flags := c.flags
			if flags == nil {
				flags = []string{"--config", filepath.Join(m.dir, "config.yaml")}
			}
			sub.verify(c, append([]string{"pod/" + pod.Name, "-n", ns, "--kubeconfig", filepath.Join(m.dir, "kubeconfig")}, flags...)...)
			if c.owner == "applied" || c.owner == "StatefulSet" || c.owner == "DaemonSet" {
				return
			}
			t.Run("from a file", func(t *testing.T) {
				inFile := *m
				inFile.TB = t
				inFile.verify(c, append([]string{inFile.exported(ns, pod)}, flags...)...)
			})
		})
	}
}

func (m *environment) dryRunNotes(ns string) []string {
	pod := podIn(ns)
	pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Mi")}
	_ = m.client.Create(m.Context(), pod, client.DryRunAll)
	return []string{pod.Annotations["inject.nova.dev/status"]}
}

// verify runs explain --verify and compares the verdict, the fields and the exit code.
func (m *environment) verify(c verifyCase, args ...string) {
	m.Helper()
	out, errs, code := cli(m, append([]string{"explain", "--verify", "-o", "json"}, args...)...)
	var all []struct {
		Verdict, Text string
		Differences   []struct{ Field, Want, Got string }
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		m.Fatalf("%v, exit %d\n%s\n%s", err, code, out, errs)
	}
	var fields []string
	for _, d := range all[0].Differences {
		fields = append(fields, d.Field)
	}
	if all[0].Verdict != c.verdict || (code == 0) != (c.verdict == "verified") {
		m.Errorf("exit %d, %+v; want %s", code, all[0], c.verdict)
	}
	for _, field := range c.fields {
		if !strings.Contains(strings.Join(fields, "\n"), field) {
			m.Errorf("differences %+v, want %s", all[0].Differences, field)
		}
	}
	if len(fields) > len(c.fields) {
		m.Errorf("differences %+v", all[0].Differences)
	}
}

// ownedPod creates an owner and its pod, as a controller would.
func (m *environment) ownedPod(ns string, c verifyCase) *corev1.Pod {
	m.Helper()
	var template corev1.PodTemplateSpec
	text := c.pod
	if text == "" {
		text = plainTemplate
	}
	m.decode(text, &template)
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	pod.Namespace, pod.GenerateName = ns, "app-7d9c-"
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app"}}
	switch c.owner {
	case "none":
	case "applied":
		raw, err := json.Marshal(pod)
		if err != nil {
			m.Fatal(err)
		}
		pod.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: string(raw)}
	case "StatefulSet", "DaemonSet":
		raw, err := json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
		if err != nil {
			m.Fatal(err)
		}
		m.create(&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app-5f6d"}, Data: runtime.RawExtension{Raw: raw}, Revision: 1})
		owned(pod, "apps/v1", c.owner, "app")
		pod.Labels["controller-revision-hash"] = map[string]string{"StatefulSet": "app-5f6d", "DaemonSet": "5f6d"}[c.owner]
	default:
		m.create(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app-7d9c"}, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}})
		owned(pod, "apps/v1", "ReplicaSet", "app-7d9c")
	}
	if c.add != nil {
		c.add(pod)
	}
	m.create(pod)
	if !isWired(pod) && c.pod != fullTemplate {
		m.Fatalf("the pod is not wired: %v", pod.Annotations)
	}
	return pod
}

func (m *environment) hashOf(pod *corev1.Pod) string {
	m.Helper()
	var status struct{ Config string }
	if err := json.Unmarshal([]byte(pod.Annotations["inject.nova.dev/status"]), &status); err != nil {
		m.Fatal(err)
	}
	return status.Config
}

// exported writes the pod, its owner and the limits into a file.
func (m *environment) exported(ns string, pod *corev1.Pod) string {
	m.Helper()
	var all []any
	if err := m.client.Get(m.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		m.Fatal(err)
	}
	pod.APIVersion, pod.Kind = "v1", "Pod"
	all = append(all, pod)
	set := &appsv1.ReplicaSet{}
	if err := m.client.Get(m.Context(), client.ObjectKey{Namespace: ns, Name: "app-7d9c"}, set); err == nil {
		set.APIVersion, set.Kind = "apps/v1", "ReplicaSet"
		all = append(all, set)
	}
	var ranges corev1.LimitRangeList
	if err := m.client.List(m.Context(), &ranges, client.InNamespace(ns)); err != nil {
		m.Fatal(err)
	}
	for i := range ranges.Items {
		ranges.Items[i].APIVersion, ranges.Items[i].Kind = "v1", "LimitRange"
		all = append(all, &ranges.Items[i])
	}
	raw, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": all})
	if err != nil {
		m.Fatal(err)
	}
	file := filepath.Join(m.TempDir(), "pods.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		m.Fatal(err)
	}
	return file
}
