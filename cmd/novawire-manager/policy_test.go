package main

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestPolicy is a cluster without the webhook: the commands say what is true there.
func TestPolicy(t *testing.T) {
	m := startManager(t)
	m.write("config.yaml", []byte(withoutGateway))
	e := &explainTest{environment: m, parent: m, bundle: m.read("tls.crt")}
	e.namespace = m.namespace(nil)
	m.probeIs(1)
	e.deleteWebhook()
	m.eventually("the probe misses the webhook", func() bool { return m.metric(probeSuccess) == 0 })
	defer e.deletePolicy()
	e.shell("novawire policy --config " + m.dir + "/config.yaml | kubectl apply --server-side -f -")
	e.eventually("wired by the policy", func() bool {
		pod := podIn(e.namespace)
		return e.client.Create(e.Context(), pod, client.DryRunAll) == nil && isWired(pod)
	})
	m.eventually("the probe succeeds without the webhook", func() bool { return m.metric(probeSuccess) == 1 })
	for name, c := range map[string]struct {
		port  int32
		state string
		cause string
		code  int
	}{
		"wired": {9090, "wired", "", 0},
		"left":  {4317, "skipped", "left-by-policy", 1},
	} {
		t.Run("explain of a pod that is "+name, func(t *testing.T) {
			pod := podIn(e.namespace)
			pod.GenerateName, pod.Name = "", name
			pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: c.port}}
			e.create(pod)
			found, code := e.explainObject("pod/" + name)
			if found.State != c.state || found.Cause != c.cause || code != c.code {
				t.Errorf("exit %d, %+v", code, found)
			}
			if c.cause != "" && !strings.HasSuffix(found.Text, ": port-taken") {
				t.Errorf("the text is %q", found.Text)
			}
		})
	}
	t.Run("explain --verify of a pod that the policy wired", func(t *testing.T) {
		sub := *m
		sub.TB = t
		for name, c := range map[string]verifyCase{
			"plain":         {verdict: "verified"},
			"with settings": {pod: fullTemplate, verdict: "verified"},
		} {
			ns := sub.namespace(nil)
			pod := sub.ownedPod(ns, c)
			if by := pod.Annotations["inject.nova.dev/status"]; !strings.Contains(by, `"by":"policy"`) {
				t.Fatalf("%s: the status is %s", name, by)
			}
			sub.verify(c, "pod/"+pod.Name, "-n", ns, "--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "--config", filepath.Join(m.dir, "config.yaml"))
		}
	})
	t.Run("check knows that the policy replaces the webhook, and which configuration it has", func(t *testing.T) {
		for _, want := range []string{"MutatingAdmissionPolicy novawire has the configuration", "MutatingWebhookConfiguration novawire is missing: the policy wires pods in its place"} {
			if !e.has(checked{"ok", "webhooks", want, ""}) {
				t.Errorf("check does not say: %s\n%+v", want, e.check("webhooks"))
			}
		}
		m.write("config.yaml", []byte(strings.Replace(withoutGateway, "test", "another", 1)))
		if !e.has(checked{"fail", "webhooks", "has another configuration than", "policy --config config.yaml | "}) {
			t.Errorf("%+v", e.check("webhooks"))
		}
	})
}

// deletePolicy gives the API server back to the other tests: policies hold for every namespace.
func (e *explainTest) deletePolicy() {
	e.Helper()
	e.shell("kubectl delete mutatingadmissionpolicies,mutatingadmissionpolicybindings --all")
	e.eventually("wired by no policy", func() bool {
		pod := podIn(e.namespace)
		return e.client.Create(e.Context(), pod, client.DryRunAll) == nil && !isWired(pod)
	})
}
