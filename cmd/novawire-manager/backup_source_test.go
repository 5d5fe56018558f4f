package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/commandline"
)

// backsUpSecretsAndServices goes from kubectl apply to the command line, for objects that
// are no StatefulSets.
func backsUpSecretsAndServices(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	requested := func(more ...string) map[string]string {
		a := map[string]string{backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://nova/" + ns}
		for i := 0; i < len(more); i += 2 {
			a[more[i]] = more[i+1]
		}
		return a
	}
	secret := func(name string, annotations map[string]string, keys map[string]string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: annotations}, StringData: keys}
	}
	complete := map[string]string{"username": "u", "password": "hunter2", "host": "db.example.org", "engine": "postgres"}

	var w warningRecorder
	if err := m.warned(&w).Create(t.Context(), secret("incomplete", requested(), map[string]string{"password": "hunter2"})); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(w.lines, "\n"); !strings.Contains(got, "every run will fail: the Secret has no key username or user") || strings.Contains(got, "hunter2") {
		t.Errorf("warnings: %s", got)
	}
	mysql := secret("mysql", requested(), map[string]string{"engine": "mysql"})
	if err := m.client.Create(t.Context(), mysql); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "not PostgreSQL") {
		t.Errorf("a Secret of MySQL: %v", err)
	}
	reviews := func() float64 {
		return m.metric(`novawire_admission_decisions_total{action="passed",reason="no-warnings",webhook="backup"}`)
	}
	before := reviews()
	m.create(secret("unrelated", map[string]string{"note": "x"}, complete))
	if got := reviews(); got != before {
		t.Error("a Secret without backup annotations was sent to the webhook")
	}

	m.create(secret("rds", requested(), complete))
	m.create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db", Annotations: requested(backupapi.AnnotationURLSecret, "rds/user=username,password=password")},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "db.example.org"},
	})
	for argument, name := range map[string]string{"secret/rds": "secret-rds-backup", "svc/db": "service-db-backup"} {
		m.cronJob(ns, name)
		stdout, stderr, code := cli(t, "backup", "now", argument, "--detach", "--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "-n", ns)
		job, ok := strings.CutPrefix(strings.TrimSpace(stderr), "Job "+ns+"/")
		if code != 0 || !ok || strings.Contains(stdout+stderr, "hunter2") {
			t.Fatalf("backup now %s: exit %d: %s%s", argument, code, stdout, stderr)
		}
		var started batchv1.Job
		if err := m.client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: job}, &started); err != nil {
			t.Fatal(err)
		}
		if by := metav1.GetControllerOf(&started); by == nil || by.Name != name {
			t.Errorf("%s: the Job is owned by %v", argument, by)
		}
	}
	m.eventually("in the status", func() bool {
		stdout, _, code := cli(t, "backup", "status", "secret/rds", "--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "-n", ns)
		return code == 0 && strings.Contains(stdout, "secret/rds")
	})
	m.eventually("exported as a metric", func() bool {
		return m.metric(fmt.Sprintf(`novawire_backup_info{namespace=%q,statefulset="secret/rds",suspended="false"}`, ns)) == 1
	})
	stdout, _, code := cli(t, "backup", "audit", "--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "-n", ns)
	if code != commandline.ExitProblem || !containsAll(stdout, []string{"Secret", "rds", "no run has succeeded", "novawire backup now secret/rds -n " + ns, "Service", "novawire backup now service/db"}) {
		t.Errorf("audit: exit %d:\n%s", code, stdout)
	}
}

// The manager of the controllers ends when the right to watch Secrets is granted or
// withdrawn, and starts again with or without them.
func TestSecretRights(t *testing.T) {
	m := startManager(t)
	config := rest.CopyConfig(m.config)
	config.Impersonate.UserName = "manager"
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if allowed, err := mayWatchSecrets(t.Context(), c); allowed || err != nil {
		t.Fatalf("without a right: %t, %v", allowed, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- secretRights{c, false, 10 * time.Millisecond}.Start(ctx) }()
	for _, verbs := range [][]string{{"list"}, {"list", "watch"}} {
		role := &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: "secrets-" + strings.Join(verbs, "-")},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: verbs}},
		}
		m.create(role)
		m.create(&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "manager"}},
		})
	}
	if err := <-ended; !errors.Is(err, errRightsChanged) {
		t.Fatalf("ended with %v", err)
	}
	if allowed, err := mayWatchSecrets(t.Context(), c); !allowed || err != nil {
		t.Errorf("with both rights: %t, %v", allowed, err)
	}
	go func() { ended <- secretRights{c, true, 10 * time.Millisecond}.Start(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("at the end of the program: %v", err)
	}
}
