package main

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
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/cluster"
)

// kustomized renders a directory of the manifests.
func kustomized(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", filepath.Join("../../manifests", dir))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return strings.Split(string(out), "\n---\n")
}

func plainCronJob(t *testing.T, dir string) *batchv1.CronJob {
	t.Helper()
	for _, document := range kustomized(t, dir) {
		if strings.Contains(document, "kind: CronJob") {
			var c batchv1.CronJob
			if err := yaml.UnmarshalStrict([]byte(document), &c); err != nil {
				t.Fatal(err)
			}
			return &c
		}
	}
	t.Fatalf("%s has no CronJob", dir)
	return nil
}

// The API server accepts the plain CronJob without a warning in a namespace of Pod
// Security restricted, and pg-backup accepts its environment.
func TestPlainCronJobs(t *testing.T) {
	config := cluster.Config(t)
	var w warningRecorder
	config.WarningHandler = &w
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	nova := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "nova", Labels: map[string]string{"pod-security.kubernetes.io/warn": "restricted"}}}
	if err := c.Create(t.Context(), nova); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]struct{ retention, bucket, image string }{
		"base/cronjobs":             {"7", "s3://nova-backups/postgres", "ghcr.io/nova/pg-backup"},
		"overlays/staging/cronjobs": {"3", "s3://nova-backups/staging/postgres", "ghcr.io/nova/pg-backup:v0.1.0"},
		"overlays/prod/cronjobs":    {"7", "s3://nova-backups/prod/postgres", "ghcr.io/nova/pg-backup:v0.1.0"},
	} {
		t.Run(dir, func(t *testing.T) {
			job := plainCronJob(t, dir)
			container := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
			got := []string{value(container, backupapi.EnvRetentionDays), value(container, backupapi.EnvS3Bucket), container.Image}
			if diff := cmp.Diff([]string{want.retention, want.bucket, want.image}, got); diff != "" {
				t.Error(diff)
			}
			checkEnvironment(t, container)
			w.lines = nil
			if err := c.Create(t.Context(), job, client.DryRunAll); err != nil || len(w.lines) > 0 {
				t.Errorf("%v, warnings %q", err, w.lines)
			}
		})
	}
}

func checkEnvironment(t *testing.T, container corev1.Container) {
	t.Helper()
	set := map[string]corev1.EnvVar{}
	for _, v := range container.Env {
		set[v.Name] = v
	}
	for _, v := range backupapi.Environment() {
		got, there := set[v.Name]
		delete(set, v.Name)
		switch {
		case v.Required && !there:
			t.Errorf("%s is not set", v.Name)
		case v.Secret && there && (got.Value != "" || got.ValueFrom.SecretKeyRef == nil):
			t.Errorf("%s does not come from a Secret", v.Name)
		case got.Value != "" && v.Check(got.Value) != nil:
			t.Error(v.Check(got.Value))
		}
	}
	for name := range set {
		t.Errorf("%s is no variable of pg-backup", name)
	}
}

// Only exit codes that another attempt cannot help end the Job at once.
func TestPlainCronJobs_PodFailurePolicy(t *testing.T) {
	cluster.Config(t) // for kubectl beside it
	rules := plainCronJob(t, "base/cronjobs").Spec.JobTemplate.Spec.PodFailurePolicy.Rules
	final := map[backupapi.Category]bool{}
	for _, code := range rules[len(rules)-1].OnExitCodes.Values {
		final[backupapi.CategoryOf(int(code))] = true
	}
	want := map[backupapi.Category]bool{
		backupapi.CategoryUsage: true, backupapi.CategoryVerify: true, backupapi.CategoryRefused: true,
		backupapi.CategoryCopy: true, backupapi.CategoryPermission: true, backupapi.CategoryDeadline: true,
	}
	if diff := cmp.Diff(want, final); diff != "" {
		t.Error(diff)
	}
}

// An installation contains no CronJob for a database that users may not have.
func TestOverlays_HaveNoPlainCronJob(t *testing.T) {
	cluster.Config(t)
	for _, overlay := range []string{"kind", "staging", "prod"} {
		for _, document := range kustomized(t, "overlays/"+overlay) {
			if strings.Contains(document, "kind: CronJob") {
				t.Errorf("%s applies a CronJob:\n%s", overlay, document)
			}
		}
	}
}
