package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
)

func TestStatus(t *testing.T) {
	m := startManager(t)
	m.write("config.yaml", []byte(withoutGateway))
	e := &explainTest{environment: m, parent: m}
	namespace := m.namespace(nil)
	e.merge(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, `{"metadata":{"labels":{"nova.dev/wiring":null}}}`)
	owned := func(kind, name string, change func(*corev1.Pod)) {
		pod := podIn(namespace)
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: "1", Controller: new(true)}}
		change(pod)
		e.create(pod)
	}
	owned("StatefulSet", "feed", func(*corev1.Pod) {}) // before the namespace opts in
	e.merge(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, `{"metadata":{"labels":{"nova.dev/wiring":"enabled"}}}`)
	e.eventually("called for the namespace", func() bool {
		pod := podIn(namespace)
		return e.client.Create(t.Context(), pod, client.DryRunAll) == nil && isWired(pod)
	})
	owned("StatefulSet", "feed", func(*corev1.Pod) {})
	owned("StatefulSet", "feed", func(p *corev1.Pod) { p.Labels = map[string]string{injection.LabelWiring: injection.WiringDisabled} })
	owned("DaemonSet", "agent", func(p *corev1.Pod) { p.Spec.HostNetwork = true })
	yesterday := time.Now().Add(-26 * time.Hour)
	record := backupapi.Status{Schedule: "0 1 * * *", TimeZone: "Etc/UTC", Databases: []backupapi.DatabaseStatus{{Name: "nova_auth", LastSuccess: &yesterday}}}
	e.create(database(namespace, "postgres", backupapi.AnnotationStatus, record.Encode()))

	status := func(args ...string) (string, int) {
		out, errs, code := cli(t, append([]string{"status", "--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "--config", filepath.Join(m.dir, "config.yaml")}, args...)...)
		if code != 0 {
			t.Fatalf("exit %d\n%s\n%s", code, out, errs)
		}
		return out, code
	}
	type workloadOf struct {
		Kind, Name string
		Pods       map[string]int
		Reasons    map[string]int
	}
	var got struct {
		Namespaces []struct {
			Name      string
			Pods      map[string]int
			Workloads []workloadOf
		}
	}
	out, _ := status("-n", namespace, "-o", "json")
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Namespaces) != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []workloadOf{
		{"DaemonSet", "agent", map[string]int{"skipped": 1}, map[string]int{"host-network": 1}},
		{"StatefulSet", "feed", map[string]int{"wired": 1, "missing": 1, "skipped": 1}, map[string]int{"not-reviewed": 1, "opted-out": 1}},
	}
	if diff := cmp.Diff(want, got.Namespaces[0].Workloads); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		args []string
		rows []string // their cells, separated by one space
	}{
		"of the cluster": {nil, []string{"NAMESPACE PODS WIRED MISSING STALE CHANGED SKIPPED", namespace + " 4 1 1 0 0 2", "1 database, last backup 26h, last restore never"}},
		"of a namespace": {[]string{"-n", namespace}, []string{"StatefulSet feed 3 1 1 0 0 1", "not-reviewed (1), opted-out (1)", "DaemonSet agent 1 0 0 0 0 1", "nova_auth 26h never"}},
		"of a workload":  {[]string{"sts/feed", "-n", namespace}, []string{"missing", "not-reviewed", "opted-out", "POD STATE AGE"}},
		"of no opted-in": {[]string{"-n", "default"}, []string{"the namespace default did not opt in: kubectl label namespace default nova.dev/wiring=enabled"}},
		"in YAML":        {[]string{"-n", namespace, "-o", "yaml"}, []string{"name: feed", "opted-out: 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := status(c.args...)
			plain := strings.Join(strings.Fields(out), " ")
			for _, row := range c.rows {
				if !strings.Contains(plain, row) {
					t.Errorf("no %q in\n%s", row, out)
				}
			}
		})
	}
	t.Run("with another configuration, what is wired is stale", func(t *testing.T) {
		m.write("other.yaml", []byte("injection: {clusterName: other}"))
		out, _, _ := cli(t, "status", "--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "--config", filepath.Join(m.dir, "other.yaml"), "-n", namespace)
		if plain := strings.Join(strings.Fields(out), " "); !strings.Contains(plain, "StatefulSet feed 3 0 1 1 0 1") {
			t.Errorf("not stale:\n%s", out)
		}
	})
}
