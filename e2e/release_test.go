//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// Folders that e2e/cluster/release sets: releases whose images are in the node.
const (
	variableRelease         = "E2E_RELEASE"
	variablePreviousRelease = "E2E_PREVIOUS_RELEASE"
)

// release is a folder that `make release` wrote.
type release struct{ dir, version string }

func releaseOf(t *testing.T, variable string) release {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		prerequisite.Skip(t, "%s is not set; run: make e2e-release", variable)
	}
	r := release{dir: dir}
	name := filepath.Base(r.artifact(t, "novawire-v*.oci.tar"))
	r.version = strings.TrimSuffix(strings.TrimPrefix(name, "novawire-"), ".oci.tar")
	return r
}

// artifact returns the path of the one file that a pattern matches.
func (r release) artifact(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s in %s: %q, %v", pattern, r.dir, files, err)
	}
	return files[0]
}

// made reports whether an image is of the release.
func (r release) made(image string) bool { return strings.HasSuffix(image, ":"+r.version) }

func (r release) chart(t *testing.T) string { t.Helper(); return r.artifact(t, "novawire-*.tgz") }

// TestRelease installs releases as users do, on a cluster without Novawire. No registry
// has the images, and the chart's are never pulled: they come from the OCI layouts.
func TestRelease(t *testing.T) {
	from, to := releaseOf(t, variablePreviousRelease), releaseOf(t, variableRelease)
	helm := helmProgram(t)
	values := filepath.Join(t.TempDir(), "values.yaml")
	writeYAML(t, values, map[string]any{
		"image": map[string]any{"pullPolicy": "Never"}, "backup": map[string]any{"secretCheck": true, "watchSecrets": true},
		"config": installedConfig(t),
	})
	helm("install", "novawire", from.chart(t), "--create-namespace", "--values", values)
	d := newDatabase(t, 17)
	d.checkInstalled(from, "installed")
	d.enable()
	eventually(t, "the CronJob exists", 30*time.Second, func(ctx context.Context) (bool, error) {
		return d.Get(ctx, statefulName+"-backup", d.name, &batchv1.CronJob{}) == nil, nil
	})
	d.backup("now")
	oldest := d.manifests()[0]

	for _, step := range []struct {
		name string
		helm []string
		to   release
	}{
		{"an upgrade", []string{"upgrade", "novawire", to.chart(t), "--values", values, "--set", "config.injection.deploymentEnvironment=upgraded"}, to},
		{"a rollback", []string{"rollback", "novawire", "1"}, from},
		{"an upgrade again", []string{"upgrade", "novawire", to.chart(t), "--values", values}, to},
	} {
		t.Run(step.name+" loses no pod and no backup", func(t *testing.T) {
			d := database{namespace{d.Resources, t, d.name}}
			d.checkChange(step.to, strings.ReplaceAll(step.name, " ", "-"), func() { helm(step.helm...) })
		})
	}
	t.Run("the oldest backup is restored by the newest version", func(t *testing.T) {
		d := database{namespace{d.Resources, t, d.name}}
		before := d.accounts()
		d.sql("postgres", "DROP DATABASE nova_auth")
		id := strings.Split(oldest, "/")[2]
		d.backup("restore", "--database", "nova_auth", "--backup", id)
		if after := d.accounts(); after != before {
			t.Errorf("accounts were %s and are %s", before, after)
		}
	})
	helm("uninstall", "novawire")
	kubectl(t, "", "delete", "namespace", systemNamespace)

	for name, args := range map[string][]string{
		"install.yaml":     {"-f", to.artifact(t, "install.yaml")},
		"kubectl apply -k": {"-k", overlayOf(t, to)},
	} {
		t.Run(name+" comes up", func(t *testing.T) {
			kubectl(t, "", append([]string{"apply", "--server-side"}, args...)...)
			t.Cleanup(func() { kubectl(t, "", append([]string{"delete", "--ignore-not-found"}, args...)...) })
			kubectl(t, "", "--namespace", systemNamespace, "rollout", "status", "deployment/"+webhookName, "--timeout", "2m")
			n := inNamespace(t, true)
			waitUntilWired(n)
			n.checkInstalled(to, "applied")
		})
	}
}

// helmProgram returns a function that runs helm in the system namespace.
func helmProgram(t *testing.T) func(args ...string) {
	program, home := prerequisite.Path(t, "NOVAWIRE_HELM", "helm"), t.TempDir()
	return func(args ...string) {
		t.Helper()
		args = append(args, "--namespace", systemNamespace, "--kubeconfig", testenv.EnvConf().KubeconfigFile(), "--wait", "--timeout", "3m")
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// installedConfig returns the configuration of the other end-to-end tests without its
// images: those of a release have the version of the manager.
func installedConfig(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../manifests/overlays/kind/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	unstructured.RemoveNestedField(config, "injection", "sidecar", "image")
	unstructured.RemoveNestedField(config, "backup", "image")
	delete(config, "repair") // the older release may not know it, and refuses what it does not know
	delete(config, "apiVersion")
	delete(config, "kind")
	return config
}

// overlayOf returns a copy of the overlay kind, edited as docs/install.md says: with the
// release's version and a configuration.
func overlayOf(t *testing.T, r release) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../manifests")); err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlays", "kind")
	file := filepath.Join(overlay, "kustomization.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "newTag: dev", "newTag: "+r.version, 1)
	if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	writeYAML(t, filepath.Join(overlay, "config.yaml"), installedConfig(t))
	return overlay
}

func writeYAML(t *testing.T, file string, value any) {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitManagers waits until two replicas of a release are left.
func awaitManagers(t *testing.T, r release) {
	t.Helper()
	eventually(t, "two managers of "+r.version+" are left", time.Minute, func(context.Context) (bool, error) {
		managers := webhookPods(t, resourcesIn(t, systemNamespace))
		return len(managers) == 2 && !slices.ContainsFunc(managers, func(pod corev1.Pod) bool { return !r.made(pod.Spec.Containers[0].Image) }), nil
	})
}

// checkInstalled checks that a new service becomes ready with the sidecar of a release.
func (n namespace) checkInstalled(r release, name string) {
	n.t.Helper()
	awaitManagers(n.t, r)
	n.create(deployment(n.name, name))
	pod := n.pod(name, readyOrSucceeded)
	checkWired(n.t, pod)
	if image := pod.Spec.InitContainers[0].Image; !r.made(image) {
		n.t.Errorf("the sidecar is %s, not of %s", image, r.version)
	}
}
