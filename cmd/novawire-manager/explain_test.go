package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// unwired is one way in which a pod is not wired.
type unwired struct {
	before   func(*explainTest)                        // the pod is created
	pod      func(*corev1.Pod)                         // differs from others
	after    func(*explainTest)                        // the pod was created
	cause    string                                    // that explain names
	stand    func(m *explainTest, command string) bool // does what a kubelet would do after a command
	unlabel  bool                                      // the namespace is not opted in
	terminal bool                                      // nothing mends it
}

type explainTest struct {
	*environment
	parent    *environment // whose manager outlives the subtest
	namespace string
	bundle    []byte
}

const withoutGateway = "apiVersion: config.nova.dev/v1alpha1\nkind: ManagerConfiguration\ninjection: {clusterName: test}\n"

// Each way is explained with the right cause, and the commands that explain prints, when
// run as they are, wire the pod.
func TestExplain_NotWired(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil && os.Getenv("KUBEBUILDER_ASSETS") == "" {
		prerequisite.Skip(t, `kubectl is missing; run: eval "$(tools/provide env)"`)
	}
	m := startManager(t)
	m.write("config.yaml", []byte(withoutGateway))
	bundle := m.read("tls.crt")
	first := &explainTest{environment: m, bundle: bundle}
	first.shell("novawire check webhooks --manifest | kubectl replace -f -") // both with a Service, as a user has them
	first.reachable("check webhooks")
	for name, c := range map[string]unwired{
		"the namespace is not labelled": {unlabel: true, cause: "namespace-not-labelled"},
		"the pod is older than the namespace's label": {unlabel: true, cause: "older-than-opt-in", after: func(e *explainTest) {
			e.nextSecond()
			e.merge(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.namespace}}, `{"metadata":{"labels":{"nova.dev/wiring":"enabled"}}}`)
		}},
		"the pod opted out": {cause: "opted-out", pod: func(p *corev1.Pod) { p.Labels = map[string]string{injection.LabelWiring: injection.WiringDisabled} }},
		"the pod is on the host network, and there is no gateway": {cause: "host-network", pod: func(p *corev1.Pod) { p.Spec.HostNetwork = true }},
		"the pod runs on Windows":                                 {cause: "windows", pod: func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }, terminal: true},
		"the mutating configuration alone was deleted":            {cause: "webhook-missing", before: (*explainTest).deleteWebhook, stand: (*explainTest).reachable},
		"the pod is older than the webhook configuration": {cause: "older-than-webhook", before: (*explainTest).deleteWebhook, after: func(e *explainTest) {
			e.nextSecond()
			e.shell("novawire check webhooks --manifest | kubectl apply --server-side --force-conflicts -f -")
			e.reachable("check webhooks")
		}},
		"somebody added a match condition": {cause: "match-condition", stand: (*explainTest).reachable, before: func(e *explainTest) {
			e.patchWebhook(`{"op":"add","path":"/webhooks/0/matchConditions/-","value":{"name":"no-apps","expression":"!object.metadata.name.startsWith('app')"}}`)
		}},
		"somebody narrowed the namespaceSelector": {cause: "namespace-selector", stand: (*explainTest).reachable, before: func(e *explainTest) {
			e.patchWebhook(`{"op":"add","path":"/webhooks/0/namespaceSelector/matchLabels/tier","value":"one"}`)
		}},
		"somebody narrowed the objectSelector": {cause: "object-selector", stand: (*explainTest).reachable, before: func(e *explainTest) {
			e.patchWebhook(`{"op":"add","path":"/webhooks/0/objectSelector/matchLabels","value":{"tier":"one"}}`)
		}},
		"the rules lost the creation of pods": {cause: "webhook-rules", stand: (*explainTest).reachable, before: func(e *explainTest) {
			e.patchWebhook(`{"op":"replace","path":"/webhooks/0/rules/0/operations","value":["UPDATE"]}`)
		}},
		"the webhook was away when the pod was created": {cause: "admission-missed", before: (*explainTest).stopManager, after: (*explainTest).startManager},
		"the webhook has no replica": {cause: "webhook-without-replica", before: func(e *explainTest) {
			e.stopManager()
			e.create(managerDeployment(0))
		}, stand: func(e *explainTest, command string) bool {
			if !strings.Contains(command, " scale ") {
				return false
			}
			e.startManager() // as the kubelet would
			return true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			sub := *m
			sub.TB = t
			e := &explainTest{environment: &sub, parent: m, bundle: bundle}
			e.run(c)
		})
	}
}

// A workload is explained by its template while it has no pods, and its template is what
// the command changes.
func TestExplain_Workload(t *testing.T) {
	m := startManager(t)
	e := &explainTest{environment: m, parent: m, namespace: m.namespace(nil)}
	d := deployment(e.namespace, "app", nil)
	d.Spec.Template.Labels = map[string]string{"app": "app", injection.LabelWiring: injection.WiringDisabled} // not those of the selector
	e.create(d)
	found, code := e.explainObject("deploy/app")
	if code != 1 || found.Cause != "opted-out" || len(found.Commands) != 1 {
		t.Fatalf("exit %d, %+v", code, found)
	}
	e.shell(found.Commands[0])
	if found, code := e.explainObject("deployment/app"); code != 0 || found.State != "wired" {
		t.Errorf("after its command: exit %d, %+v", code, found)
	}
	for name, args := range map[string][]string{
		"a kind that it does not know": {"explain", "service/app"},
		"two objects":                  {"explain", "pod/a", "pod/b"},
		"an unknown output":            {"explain", "pod/a", "-o", "xml"},
		"a pod for status":             {"status", "pod/a"},
		"two namespaces":               {"telemetry", "a", "b"},
		"a negative price":             {"telemetry", "--price-per-gb", "-1"},
		"an output of telemetry":       {"telemetry", "-o", "xml"},
		"an interval of nothing":       {"status", "--watch", "--interval", "1ms"},
	} {
		t.Run(name+" is a wrong command line", func(t *testing.T) {
			if _, errs, code := cli(t, args...); code != 2 || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit %d: %s", code, errs)
			}
		})
	}
}

func (e *explainTest) run(c unwired) {
	e.namespace = e.environment.namespace(nil)
	if c.unlabel {
		e.merge(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.namespace}}, `{"metadata":{"labels":{"nova.dev/wiring":null}}}`)
	}
	if c.before != nil {
		c.before(e)
	}
	pod := podIn(e.namespace)
	pod.GenerateName, pod.Name = "", "app"
	if c.pod != nil {
		c.pod(pod)
	}
	e.create(pod)
	if isWired(pod) {
		e.Fatal("the pod is wired: the case breaks nothing")
	}
	if c.after != nil {
		c.after(e)
	}
	found, code := e.explain()
	if code != 1 || found.Cause != c.cause {
		e.Fatalf("exit %d, cause %q (%s), want %q", code, found.Cause, found.Text, c.cause)
	}
	if c.terminal {
		if len(found.Commands) > 0 {
			e.Errorf("commands %q, but nothing mends it", found.Commands)
		}
		return
	}
	for _, command := range found.Commands {
		e.shell(command)
		if c.stand != nil {
			c.stand(e, command)
		}
	}
	if found, code = e.explain(); code != 0 || found.State != "wired" {
		e.Errorf("after its commands: exit %d, %+v", code, found)
	}
}

// explained is the only pod of `explain -o json`.
type explained struct {
	State, Cause, Text string
	Commands           []string
}

func (e *explainTest) explain() (explained, int) {
	e.Helper()
	return e.explainObject("pod/app")
}

func (e *explainTest) explainObject(object string) (explained, int) {
	e.Helper()
	out, errs, code := cli(e, "explain", object, "-n", e.namespace, "-o", "json", "--config", filepath.Join(e.dir, "config.yaml"), "--kubeconfig", filepath.Join(e.dir, "kubeconfig"))
	var result struct{ Pods []explained }
	if err := json.Unmarshal([]byte(out), &result); err != nil || len(result.Pods) != 1 {
		e.Fatalf("%v, exit %d\n%s\n%s", err, code, out, errs)
	}
	return result.Pods[0], code
}

// shell runs a command as a user who copies it.
func (e *explainTest) shell(command string) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", "set -e; "+command)
	shell.WaitDelay = time.Second // of a pipe that a child keeps open
	shell.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(e.dir, "kubeconfig"),
		"PATH="+filepath.Dir(program(e, "novawire"))+":"+os.Getenv("KUBEBUILDER_ASSETS")+":"+os.Getenv("PATH"))
	if out, err := shell.CombinedOutput(); err != nil {
		e.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// reachable gives the webhooks a URL after a command has installed the shipped ones: the
// API server of the tests reaches no Service.
func (e *explainTest) reachable(command string) bool {
	e.Helper()
	if !strings.Contains(command, "check webhooks") {
		return false
	}
	var c admissionv1.MutatingWebhookConfiguration
	if err := e.client.Get(e.Context(), types.NamespacedName{Name: defaultService}, &c); err != nil {
		e.Fatal(err)
	}
	for i := range c.Webhooks {
		if c.Webhooks[i].ClientConfig.Service != nil {
			c.Webhooks[i].ClientConfig = e.clientConfig(c.Webhooks[i].ClientConfig, e.bundle)
		}
	}
	if err := e.client.Update(e.Context(), &c); err != nil {
		e.Fatal(err)
	}
	probe := e.environment.namespace(nil)
	e.eventually("called by the API server", func() bool {
		pod := podIn(probe)
		return e.client.Create(e.Context(), pod, client.DryRunAll) == nil && isWired(pod)
	})
	return true
}

func (e *explainTest) deleteWebhook() {
	e.Helper()
	if err := e.client.Delete(e.Context(), &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: defaultService}}); err != nil {
		e.Fatal(err)
	}
	e.notCalled()
}

func (e *explainTest) patchWebhook(operation string) {
	e.Helper()
	c := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: defaultService}}
	if err := e.client.Patch(e.Context(), c, client.RawPatch(types.JSONPatchType, []byte("["+operation+"]"))); err != nil {
		e.Fatal(err)
	}
	e.notCalled()
}

// notCalled waits until the API server knows the change.
func (e *explainTest) notCalled() {
	e.Helper()
	e.eventually("left out by the API server", func() bool {
		pod := podIn(e.namespace)
		return e.client.Create(e.Context(), pod, client.DryRunAll) == nil && !isWired(pod)
	})
}

func (e *explainTest) stopManager() {
	if err := e.parent.stop(); err != nil {
		e.Fatal(err)
	}
}

func (e *explainTest) startManager() { e.parent.start() }

// nextSecond waits until objects get another time: the API server keeps whole seconds.
func (e *explainTest) nextSecond() {
	now := time.Now().Unix()
	e.eventually("the next second", func() bool { return time.Now().Unix() > now })
}

func (e *explainTest) merge(o client.Object, patch string) {
	e.Helper()
	if err := e.client.Patch(e.Context(), o, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		e.Fatal(err)
	}
}

func (m *environment) read(name string) []byte {
	m.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		m.Fatal(err)
	}
	return text
}

func managerDeployment(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": defaultService}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: defaultService, Namespace: defaultNamespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "webhook", Image: "ghcr.io/nova/novawire:v0.1.0"}}},
			},
		},
	}
}
