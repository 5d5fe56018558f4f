// Package k8s tests the manifests at the paths of the platform's plan, and the shim
// script that has the plan's name.
package k8s

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

// kustomize returns the objects of a kustomization. It needs the kubectl beside the API
// server.
func kustomize(t *testing.T, dir string) []unstructured.Unstructured {
	t.Helper()
	cluster.Config(t) // skips, or fails in CI, if there is none
	out, err := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", dir).Output()
	if err != nil {
		t.Fatalf("kubectl kustomize %s: %v", dir, err)
	}
	var all []unstructured.Unstructured
	for document := range strings.SplitSeq(string(out), "\n---\n") {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func cronJob(t *testing.T, all []unstructured.Unstructured) *batchv1.CronJob {
	t.Helper()
	for _, o := range all {
		if o.GetKind() == "CronJob" {
			var c batchv1.CronJob
			text, err := yaml.Marshal(o.Object)
			if err == nil {
				err = yaml.UnmarshalStrict(text, &c)
			}
			if err != nil {
				t.Fatal(err)
			}
			return &c
		}
	}
	t.Fatal("there is no CronJob")
	return nil
}

// TestBase holds the plan's CronJob to the product's: they differ in names, in
// restartPolicy, which podFailurePolicy does not allow to be OnFailure, and in the
// Region.
func TestBase(t *testing.T) {
	plan, ours := cronJob(t, kustomize(t, "base/cronjobs")), cronJob(t, kustomize(t, "../manifests/base/cronjobs"))
	if plan.Namespace != "nova-prod" || plan.Name != "nova-postgres-backup" {
		t.Errorf("%s/%s", plan.Namespace, plan.Name)
	}
	ours.Namespace, ours.Name = plan.Namespace, plan.Name
	delete(ours.Labels, "app.kubernetes.io/part-of")
	job := &ours.Spec.JobTemplate.Spec
	job.PodFailurePolicy = nil
	job.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	job.Template.Spec.Volumes[0].Secret.SecretName = "aws-backup-credentials"
	for i, v := range job.Template.Spec.Containers[0].Env {
		if v.Name == "AWS_REGION" {
			job.Template.Spec.Containers[0].Env[i].Value = "us-west-2"
		}
	}
	if diff := cmp.Diff(ours, plan); diff != "" {
		t.Errorf("manifests/base/cronjobs with the plan's names (-) and k8s/base/cronjobs (+) differ:\n%s", diff)
	}
}

func TestOverlays(t *testing.T) {
	c, err := client.New(cluster.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct{ namespace, bucket, days string }{
		"prod":    {"nova-prod", "s3://nova-backups/prod/postgres", "7"},
		"staging": {"nova-staging", "s3://nova-backups/staging/postgres", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			job := cronJob(t, kustomize(t, "overlays/"+name))
			env := map[string]string{}
			container := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
			for _, v := range container.Env {
				env[v.Name] = v.Value
			}
			got := []string{job.Namespace, env["S3_BUCKET"], env["RETENTION_DAYS"], env["AWS_REGION"], env["DATABASE_URL"], container.Image}
			if diff := cmp.Diff([]string{want.namespace, want.bucket, want.days, "us-west-2", "", "ghcr.io/nova/pg-backup:v0.1.0"}, got); diff != "" {
				t.Error(diff)
			}
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: job.Namespace}}
			if err := c.Create(t.Context(), namespace); client.IgnoreAlreadyExists(err) != nil {
				t.Fatal(err)
			}
			if err := c.Create(t.Context(), job, client.DryRunAll); err != nil {
				t.Errorf("the API server refuses it: %v", err)
			}
		})
	}
}

// TestExternalSecrets holds the component to the CronJob: each Secret and key that the
// CronJob reads is one that the component makes.
func TestExternalSecrets(t *testing.T) {
	dir := t.TempDir()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if here, err = filepath.Rel(dir, here); err != nil {
		t.Fatal(err)
	}
	text := "resources: [" + here + "/overlays/prod]\ncomponents: [" + here + "/components/external-secrets]\n"
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all := kustomize(t, dir)
	made := map[string]bool{}
	for _, o := range all {
		if o.GetKind() != "ExternalSecret" {
			continue
		}
		secret, _, _ := unstructured.NestedString(o.Object, "spec", "target", "name")
		template, templated, _ := unstructured.NestedMap(o.Object, "spec", "target", "template", "data")
		for key := range template {
			made[secret+"/"+key] = true
		}
		data, _, _ := unstructured.NestedSlice(o.Object, "spec", "data")
		for _, d := range data {
			key := d.(map[string]any)["secretKey"].(string)
			if !templated {
				made[secret+"/"+key] = true
			}
			if templated && !strings.Contains(template["credentials"].(string), "{{ ."+key+" }}") {
				t.Errorf("%s: the template does not use %s", secret, key)
			}
		}
		if interval, _, _ := unstructured.NestedString(o.Object, "spec", "refreshInterval"); interval == "" || interval == "0" {
			t.Errorf("%s does not follow rotation", secret)
		}
		if store, _, _ := unstructured.NestedString(o.Object, "spec", "secretStoreRef", "name"); !has(all, "SecretStore", store) {
			t.Errorf("%s: there is no SecretStore %s", secret, store)
		}
	}
	pod := cronJob(t, all).Spec.JobTemplate.Spec.Template.Spec
	want := map[string]bool{pod.Volumes[0].Secret.SecretName + "/credentials": true}
	for _, v := range pod.Containers[0].Env {
		if v.ValueFrom != nil {
			want[v.ValueFrom.SecretKeyRef.Name+"/"+v.ValueFrom.SecretKeyRef.Key] = true
		}
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("what the CronJob reads (-) and what the component makes (+) differ:\n%s", diff)
	}
}

func has(all []unstructured.Unstructured, kind, name string) bool {
	for _, o := range all {
		if o.GetKind() == kind && o.GetName() == name {
			return true
		}
	}
	return false
}

const script = "../scripts/backup/pg_backup.sh"

// TestScript runs the shim with the real program.
func TestScript(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, "../cmd/pg-backup").CombinedOutput(); err != nil {
		t.Fatalf("build pg-backup: %v\n%s", err, out)
	}
	shim := func(env []string, args ...string) (string, int) {
		cmd := exec.Command(script, args...)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	program := "PG_BACKUP=" + filepath.Join(dir, "pg-backup")
	t.Run("passes parameters and the exit code on", func(t *testing.T) {
		out, code := shim([]string{program}, "--dry-run", "--log-format", "json")
		if code != 64 || !strings.Contains(out, "S3_BUCKET is not set") { // usage: nothing is configured
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("logs JSON if asked to", func(t *testing.T) {
		env := []string{program, "DATABASE_URL=postgres://nobody@127.0.0.1:1", "S3_BUCKET=s3://bucket/prefix", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "S3_ENDPOINT=http://127.0.0.1:1"}
		out, code := shim(env, "--dry-run", "--log-format", "json")
		if code == 0 || code == 64 || !strings.Contains(out, `"level":"ERROR"`) {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("finds the program in PATH", func(t *testing.T) {
		out, code := shim([]string{"PATH=" + dir + ":" + os.Getenv("PATH")}, "--help")
		if code != 0 || !strings.Contains(out, "--dry-run") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("says what is missing", func(t *testing.T) {
		out, code := shim([]string{"PG_BACKUP=/no/such/program"}, "--dry-run")
		if code != 127 || !strings.Contains(out, "/no/such/program is not there") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
}
