package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/testing/cluster"
	"github.com/nova/novawire/internal/version"
)

// TestVersion reads the versions of a cluster with a manager and with pods of three
// versions of the sidecar.
func TestVersion(t *testing.T) {
	previous := version.Version
	version.Version = "v0.3.1"
	t.Cleanup(func() { version.Version = previous })
	config := cluster.Config(t)
	c, err := client.New(config, client.Options{})
	must(t, err)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, cluster.Kubeconfig(t, config), 0o600))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "version-"}}
	must(t, c.Create(t.Context(), ns))
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: ns.Name}}
	must(t, client.IgnoreAlreadyExists(c.Create(t.Context(), account)))
	ask := func() versions {
		t.Helper()
		stdout, stderr, code := cli(t, "", "version", "--kubeconfig", file, "-n", ns.Name, "-o", "json")
		var v versions
		if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != 0 {
			t.Fatalf("exit %d: %v: %s%s", code, err, stdout, stderr)
		}
		return v
	}
	t.Run("a cluster without a manager is named", func(t *testing.T) {
		if v := ask(); v.Manager != "" || len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "there is no manager: Deployment "+ns.Name+"/novawire does not exist") {
			t.Errorf("%+v", v)
		}
	})
	labels := map[string]string{"app": "novawire"}
	must(t, c.Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "novawire", Namespace: ns.Name},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{
				{Name: "mesh", Image: "mesh:v9"}, {Name: "webhook", Image: "mirror.example.com:5000/nova/novawire:v0.3.0@sha256:0000000000000000000000000000000000000000000000000000000000000001"},
			}},
		}},
	}))
	for name, image := range map[string]string{"a": "novawire-sidecar:v0.3.0", "b": "novawire-sidecar:v0.2.4", "c": "novawire-sidecar:v0.1.0", "d": "novawire-sidecar:v0.1.0"} {
		pod := wiredPod(ns.Name, name, "8080")
		pod.Spec.InitContainers = []corev1.Container{{Name: sidecarapi.ContainerName, Image: image}}
		must(t, c.Create(t.Context(), pod))
	}
	t.Run("the difference of each sidecar is told", func(t *testing.T) {
		v := ask()
		want := versions{
			Client: "v0.3.1", Manager: "v0.3.0", Sidecar: map[string]int{"v0.1.0": 2, "v0.2.4": 1, "v0.3.0": 1},
			Notes: []string{
				"sidecar v0.1.0 in 2 pods is not supported by manager v0.3.0: restart them",
				"sidecar v0.2.4 in 1 pod: the next restart brings v0.3.0",
			},
		}
		v.Client, _, _ = strings.Cut(v.Client, " ")
		if diff := cmp.Diff(want, v); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("as text", func(t *testing.T) {
		stdout, stderr, code := cli(t, "", "version", "--kubeconfig", file, "-n", ns.Name)
		for _, part := range []string{"novawire  v0.3.1", "manager   v0.3.0", "sidecar   v0.1.0  2 pods", "note: sidecar v0.1.0 in 2 pods"} {
			if !strings.Contains(stdout, part) || code != 0 {
				t.Errorf("exit %d: %q is missing in\n%s%s", code, part, stdout, stderr)
			}
		}
	})
	t.Run("an old command line is told", func(t *testing.T) {
		version.Version = "v0.1.0"
		if v := ask(); !strings.HasPrefix(v.Notes[0], "this program is v0.1.0 and the manager v0.3.0") {
			t.Errorf("%q", v.Notes)
		}
	})
	t.Run("--client needs no cluster", func(t *testing.T) {
		if stdout, stderr, code := cli(t, "", "version", "--client", "--kubeconfig", "/nowhere"); code != 0 || !strings.HasPrefix(stdout, "novawire  v0.1.0") {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
	})
	if _, stderr, code := cli(t, "", "version", "-o", "xml"); code != commandline.ExitUsage {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
