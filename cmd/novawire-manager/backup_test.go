package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/audit"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/commandline"
)

func (m *environment) cronJob(namespace, name string) *batchv1.CronJob {
	m.Helper()
	o := &batchv1.CronJob{}
	m.eventually("a CronJob "+name, func() bool {
		return m.client.Get(m.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o) == nil
	})
	return o
}

func createsCronJobs(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	m.create(database(ns, "auth-db"))
	asked := time.Now()
	m.cronJob(ns, "auth-db-backup")
	t.Logf("a CronJob %s after the StatefulSet", time.Since(asked).Round(time.Millisecond))
	m.eventually("exported as metrics", func() bool {
		return m.metric(fmt.Sprintf(`novawire_backup_info{namespace=%q,statefulset="auth-db",suspended="false"}`, ns)) == 1
	})
	m.write("config.yaml", []byte(startConfig+"backup: {image: 'pg-backup:next'}\n"))
	m.eventually("made by the changed configuration", func() bool {
		return m.cronJob(ns, "auth-db-drill").Spec.JobTemplate.Spec.Template.Spec.InitContainers[0].Image == "pg-backup:next"
	})
}

func backupCommands(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	set := database(ns, "auth-db")
	m.create(set)
	m.cronJob(ns, "auth-db-drill")
	cluster := []string{"--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "-n", ns}
	command := func(args ...string) (string, string, int) {
		return cli(t, append(append([]string{"backup"}, args...), cluster...)...)
	}
	for _, c := range []struct {
		args []string
		code int
		part string
	}{
		{[]string{"now"}, commandline.ExitUsage, "name one object, as sts/NAME"},
		{[]string{"now", "deploy/auth-db"}, commandline.ExitUsage, `"deploy/auth-db": name a StatefulSet, a Secret or a Service`},
		{[]string{"now", "sts/nobody", "--detach"}, commandline.ExitProblem, `statefulsets.apps "nobody" not found`},
		{[]string{"list", "nobody"}, commandline.ExitProblem, "is not backed up: CronJob nobody-backup does not exist"},
		{[]string{"restore", "sts/auth-db"}, commandline.ExitUsage, "name the database: --database"},
		{[]string{"status", "-o", "xml"}, commandline.ExitUsage, `output "xml": use table or json`},
	} {
		if _, stderr, code := command(c.args...); code != c.code || !strings.Contains(stderr, c.part) {
			t.Errorf("%v: exit %d: %s", c.args, code, stderr)
		}
	}
	for verb, owner := range map[string]string{"now": "auth-db-backup", "drill": "auth-db-drill"} {
		_, stderr, code := command(verb, "sts/auth-db", "--detach")
		name, ok := strings.CutPrefix(strings.TrimSpace(stderr), "Job "+ns+"/")
		if code != 0 || !ok {
			t.Fatalf("%s: exit %d: %s", verb, code, stderr)
		}
		var job batchv1.Job
		if err := m.client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &job); err != nil {
			t.Fatal(err)
		}
		if by := metav1.GetControllerOf(&job); by == nil || by.Name != owner {
			t.Errorf("%s: the Job is owned by %v", verb, by)
		}
	}
	if _, stderr, code := command("verify", "sts/auth-db", "--start-timeout", "1s"); code != commandline.ExitProblem || !strings.Contains(stderr, "has not started after 1s") {
		t.Errorf("want a timeout, got: exit %d: %s", code, stderr)
	}
	m.status(t, ns)
	stdout, _, code := command("status")
	if want := []string{"NAMESPACE", "auth-db", "nova_auth", "never", "1.5 GiB", "failed", "permission: password authentication failed"}; code != 0 || !containsAll(stdout, want) {
		t.Errorf("exit %d: want %q in\n%s", code, want, stdout)
	}
	stdout, _, _ = command("status", "sts/auth-db", "-o", "json")
	var states []struct{ Databases []backupapi.DatabaseStatus }
	if err := json.Unmarshal([]byte(stdout), &states); err != nil || len(states) != 1 || states[0].Databases[0].Rows != 12 {
		t.Errorf("%v:\n%s", err, stdout)
	}
}

// backupAudit runs the command on a protected, an unprotected and an exempt database.
func backupAudit(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	m.create(database(ns, "auth-db"))
	m.cronJob(ns, "auth-db-backup")
	m.status(t, ns)
	run := func(args ...string) (string, string, int) {
		return cli(t, append([]string{"backup", "audit", "--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "-n", ns}, args...)...)
	}
	if stdout, stderr, code := run(); code != 0 || !containsAll(stdout, []string{"auth-db", "yes"}) {
		t.Errorf("everything is protected: exit %d: %s%s", code, stdout, stderr)
	}
	plain := database(ns, "orders-db", backupapi.AnnotationEnabled, "false")
	plain.Spec.Template.Spec.Containers[0].Image = "postgres:17"
	m.create(plain)
	stdout, stderr, code := run()
	if code != commandline.ExitProblem || !containsAll(stdout, []string{"orders-db", "NO", "no backup is requested", `annotate it backup.nova.dev/enabled: "true"`}) || !strings.Contains(stderr, "1 of 2 PostgreSQL databases are not protected") {
		t.Errorf("an unprotected database: exit %d: %s%s", code, stdout, stderr)
	}
	stdout, _, _ = run("-o", "json")
	var report audit.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || len(report.Databases) != 2 || report.Databases[1].Reason != audit.NotRequested {
		t.Errorf("%v:\n%s", err, stdout)
	}
	plain.Annotations[backupapi.AnnotationUnprotectedReason] = "it is filled from auth-db"
	if err := m.client.Update(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := run(); code != 0 || !strings.Contains(stdout, "it is filled from auth-db") {
		t.Errorf("an exempt database: exit %d: %s%s", code, stdout, stderr)
	}
	m.eventually("exported as a metric", func() bool { return m.metric("novawire_backup_audit_timestamp_seconds") > 0 })
}

// status creates the pods of two Jobs, one that succeeded and one that failed.
func (m *environment) status(t *testing.T, ns string) {
	t.Helper()
	taken := time.Now().Add(-time.Hour).UTC()
	for name, result := range map[string]backupapi.Result{
		"night-1": {Verb: "run", Databases: []backupapi.DatabaseResult{{Name: "nova_auth", Backup: "x", Bytes: 3 << 29, Rows: 12, LastSuccess: &taken}}},
		"night-2": {Verb: "run", Category: backupapi.CategoryPermission, Message: "password authentication failed"},
	} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{
				resources.LabelManagedBy: resources.ManagedBy, resources.LabelStatefulSet: "auth-db", resources.LabelVerb: "run", batchv1.JobNameLabel: name,
			}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: resources.Container, Image: "postgres:17"}}},
		}
		m.create(pod)
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: resources.Container, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: int32(result.Category.ExitCode()), Message: string(result.Encode()), ContainerID: "containerd://x",
			FinishedAt: metav1.NewTime(taken.Add(time.Duration(len(result.Category)) * time.Second)),
		}}}}
		if err := m.client.Status().Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	m.eventually("recorded in the status", func() bool {
		s, err := backupapi.ParseStatus(m.cronJob(ns, "auth-db-backup").Annotations[backupapi.AnnotationStatus])
		return err == nil && len(s.Databases) == 1 && s.LastFailure != nil
	})
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
