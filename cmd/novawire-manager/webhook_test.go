package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// One program and one API server serve these tests; each works in namespaces of
// its own. The last one ends the program.
func TestAdmission(t *testing.T) {
	m := startManager(t)
	for _, c := range []struct {
		name string
		test func(*environment, *testing.T)
	}{
		{"wires the pods of every kind of owner", wiresEveryOwner},
		{"leaves a pod that opted out, and a namespace that did not opt in", leavesOthers},
		{"answers a server-side dry run and keeps nothing", dryRun},
		{"knows the defaults of a namespace that was labelled a moment before", freshNamespace},
		{"wires five hundred pods at once", manyPods},
		{"completes a pod that a second webhook changed, and doubles nothing", reinvocation},
		{"warns at apply about what will happen to the pods", warnsAtApply},
		{"writes an Event for the owner of a pod that needs one", writesEvents},
		{"changes the sidecar so that the limits of the namespace admit the pod, or wires it without", respectsLimits},
		{"loads a changed configuration and keeps the previous one when the new one is bad", reloads},
		{"counts what it decided", countsDecisions},
		{"refuses a mistake in a backup annotation", refusesBackups},
		{"reviews only StatefulSets that request backup", reviewsOnlyBackupRequests},
		{"reviews backup requests in every namespace", reviewsEveryNamespace},
		{"creates the CronJobs of a StatefulSet that requests backup", createsCronJobs},
		{"requests runs and shows the status of backups from the command line", backupCommands},
		{"audits which databases are backed up", backupAudit},
		{"backs up the databases of Secrets and Services", backsUpSecretsAndServices},
		{"removing something never silences the audit", removingNeverSilences},
		{"sees whether admission works, by pods that it creates as dry runs", probesAdmission},
		{"admits pods while the webhook is down and wires them when it is back", failsOpen},
		{"reports the pods that were created while it was away, and those of an older configuration", findsDrift},
		{"evicts a pod that it missed where the workload asks for it, and no other", repairsWhereAsked},
		{"exits with success on SIGTERM", endsOnSignal},
	} {
		if !t.Run(c.name, func(t *testing.T) { sub := *m; sub.TB = t; c.test(&sub, t) }) {
			t.Logf("the program's log:\n%s", m.log)
		}
	}
}

func owned(pod *corev1.Pod, apiVersion, kind, name string) *corev1.Pod {
	controller := true
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID("0c2f-" + name), Controller: &controller}}
	return pod
}

func wiresEveryOwner(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	hashed := func(label string) *corev1.Pod {
		pod := podIn(ns)
		pod.Labels = map[string]string{label: "7d9c6bdf4b"}
		return pod
	}
	for service, pod := range map[string]*corev1.Pod{
		"user-service": owned(hashed("pod-template-hash"), "apps/v1", "ReplicaSet", "user-service-7d9c6bdf4b"),
		"feed":         owned(hashed("rollouts-pod-template-hash"), "apps/v1", "ReplicaSet", "feed-7d9c6bdf4b"),
		"postgres":     owned(podIn(ns), "apps/v1", "StatefulSet", "postgres"),
		"node-agent":   owned(podIn(ns), "apps/v1", "DaemonSet", "node-agent"),
		"import":       owned(podIn(ns), "batch/v1", "Job", "import"),
		"nightly":      owned(podIn(ns), "batch/v1", "Job", "nightly-29389020"),
		"app":          podIn(ns),
	} {
		if err := m.client.Create(t.Context(), pod); err != nil {
			t.Errorf("%s: %v", service, err)
			continue
		}
		if !isWired(pod) || len(pod.Spec.InitContainers) != 1 || pod.Spec.InitContainers[0].Name != sidecarapi.ContainerName {
			t.Errorf("%s: not wired: %v", service, pod.Annotations)
		}
		if got := value(pod.Spec.Containers[0], "OTEL_SERVICE_NAME"); got != service {
			t.Errorf("%s: service name %q", service, got)
		}
	}
}

func leavesOthers(m *environment, t *testing.T) {
	out := podIn(m.namespace(nil))
	out.Labels = map[string]string{injection.LabelWiring: injection.WiringDisabled}
	plain := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "plain-"}}
	m.create(plain)
	for _, pod := range []*corev1.Pod{out, podIn(plain.Name)} {
		if err := m.client.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		if isWired(pod) {
			t.Errorf("a pod of %s is wired", pod.Namespace)
		}
	}
}

func dryRun(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	pod := podIn(ns)
	if err := m.client.Create(t.Context(), pod, client.DryRunAll); err != nil || !isWired(pod) {
		t.Errorf("dry run: %v, %v", err, pod.Annotations)
	}
	var pods corev1.PodList
	if err := m.client.List(t.Context(), &pods, client.InNamespace(ns)); err != nil || len(pods.Items) > 0 {
		t.Errorf("after a dry run: %v, %d pods", err, len(pods.Items))
	}
}

func freshNamespace(m *environment, t *testing.T) {
	for range 20 {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "fresh-"}}
		m.create(ns)
		ns.Labels = map[string]string{injection.LabelWiring: injection.WiringEnabled}
		ns.Annotations = map[string]string{injection.AnnotationTraceSampling: "0.5"}
		if err := m.client.Update(t.Context(), ns); err != nil {
			t.Fatal(err)
		}
		pod := podIn(ns.Name)
		if err := m.client.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		if got := value(pod.Spec.Containers[0], "OTEL_TRACES_SAMPLER_ARG"); got != "0.5" {
			t.Errorf("sampling %q: the namespace's default was not known", got)
		}
	}
}

func manyPods(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	var group sync.WaitGroup
	errs := make(chan error, 500)
	for range 500 {
		group.Go(func() {
			pod := podIn(ns)
			if err := m.client.Create(t.Context(), pod); err != nil {
				errs <- err
			} else if !isWired(pod) {
				errs <- fmt.Errorf("%s is not wired", pod.Name)
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// A second webhook, called after ours, adds a container.
func reinvocation(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionreview.AdmissionReview
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &review)
		review.Response = &admissionreview.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if !strings.Contains(string(review.Request.Object.Raw), `"late"`) {
			jsonPatch := admissionreview.PatchTypeJSONPatch
			review.Response.PatchType = &jsonPatch
			review.Response.Patch = []byte(`[{"op":"add","path":"/spec/containers/0","value":{"name":"late","image":"late:9"}}]`)
		}
		review.Request = nil
		_ = json.NewEncoder(w).Encode(review)
	}))
	defer other.Close()
	url, none := other.URL, admissionv1.SideEffectClassNone
	m.create(&admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "zz-after-ours"},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "late.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: &none,
			ClientConfig: admissionv1.WebhookClientConfig{URL: &url, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}},
		}},
	})
	var pod *corev1.Pod
	m.eventually("changed by the second webhook", func() bool {
		pod = podIn(ns)
		return m.client.Create(t.Context(), pod, client.DryRunAll) == nil && len(pod.Spec.Containers) == 2
	})
	for _, c := range pod.Spec.Containers {
		seen := map[string]int{}
		for _, v := range c.Env {
			seen[v.Name]++
		}
		for _, name := range []string{"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", sidecarapi.EnvPodName} {
			if seen[name] != 1 {
				t.Errorf("container %s has %s %d times", c.Name, name, seen[name])
			}
		}
	}
	reviews := func() float64 {
		return m.metric(`novawire_admission_decisions_total{action="wired",reason="as-asked",webhook="pod"}`) +
			m.metric(`novawire_admission_decisions_total{action="completed",reason="as-asked",webhook="pod"}`)
	}
	reviewed, wired := reviews(), m.metric("novawire_pods_wired_total")
	if err := m.client.Create(t.Context(), podIn(ns)); err != nil {
		t.Fatal(err)
	}
	if r, w := reviews()-reviewed, m.metric("novawire_pods_wired_total")-wired; r != 2 || w != 1 {
		t.Errorf("%v reviews and %v pods are counted, want 2 and 1", r, w)
	}
	if len(pod.Spec.InitContainers) != 1 {
		t.Errorf("%d init containers: the sidecar is there more than once, or not at all", len(pod.Spec.InitContainers))
	}
}

func writesEvents(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	pod := owned(podIn(ns), "apps/v1", "StatefulSet", "postgres")
	pod.Annotations = map[string]string{injection.AnnotationProtocol: "grcp"}
	if err := m.client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	m.eventually("recorded as an Event", func() bool {
		var events eventsv1.EventList
		if err := m.client.List(t.Context(), &events, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Items {
			if e.Regarding.Kind == "StatefulSet" && e.Regarding.Name == "postgres" && e.Reason == "BadAnnotation" && strings.Contains(e.Note, "grcp") {
				return true
			}
		}
		return false
	})
}

func reloads(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	generation, failures := m.metric("novawire_config_generation"), m.metric("novawire_config_reload_failures_total")
	cluster := func() string {
		pod := podIn(ns)
		if err := m.client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		return value(pod.Spec.Containers[0], "OTEL_RESOURCE_ATTRIBUTES")
	}
	m.write("config.yaml", []byte("injection: {clusterName: changed, gateway: {grpcEndpoint: 'http://gateway:4317'}}\n"))
	m.eventually("wiring by the changed configuration", func() bool { return strings.Contains(cluster(), "k8s.cluster.name=changed") })
	m.write("config.yaml", []byte("injection: {clusterNam: typo}\n"))
	m.eventually("telling the bad configuration", func() bool { return m.metric("novawire_config_reload_failures_total") == failures+1 })
	if !strings.Contains(cluster(), "k8s.cluster.name=changed") {
		t.Error("a bad configuration was taken")
	}
	m.write("config.yaml", []byte(startConfig))
	m.eventually("wiring by the first configuration", func() bool { return strings.Contains(cluster(), "k8s.cluster.name=test") })
	if got := m.metric("novawire_config_generation"); got != generation+2 {
		t.Errorf("generation %v after %v", got, generation)
	}
}

func countsDecisions(m *environment, t *testing.T) {
	series := `novawire_admission_decisions_total{action="wired",reason="as-asked",webhook="pod"}`
	before, observed := m.metric(series), m.metric(`novawire_admission_duration_seconds_count{webhook="pod"}`)
	if err := m.client.Create(t.Context(), podIn(m.namespace(nil))); err != nil {
		t.Fatal(err)
	}
	if m.metric(series) != before+1 || m.metric(`novawire_admission_duration_seconds_count{webhook="pod"}`) != observed+1 {
		t.Error("a wired pod was not counted once")
	}
}

func failsOpen(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	if err := m.stop(); err != nil {
		t.Fatalf("ended with %v:\n%s", err, m.log)
	}
	pod := podIn(ns)
	if err := m.client.Create(t.Context(), pod); err != nil {
		t.Fatalf("without the webhook no pod: %v", err)
	}
	if isWired(pod) {
		t.Error("a pod is wired by nobody")
	}
	mistaken := database(ns, "auth-db", backupapi.AnnotationSchedule, "hourly")
	if err := m.client.Create(t.Context(), mistaken); err != nil {
		t.Errorf("without the webhook no StatefulSet: %v", err)
	}
	m.start()
	m.eventually("wiring again", func() bool {
		pod := podIn(ns)
		return m.client.Create(t.Context(), pod, client.DryRunAll) == nil && isWired(pod)
	})
	oldMistake(m, t, mistaken)
	if err := m.stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func endsOnSignal(m *environment, t *testing.T) {
	m.start()
	if err := m.stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if connection, err := net.Dial("tcp", address(m.port)); err == nil {
		connection.Close()
		t.Error("something still listens")
	}
}
