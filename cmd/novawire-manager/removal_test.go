package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/controller/backup/resources"
)

// removingNeverSilences takes away, one by one, what a backup depends on. The audit, whose
// metric the alert NovawirePostgreSQLUnprotected reads, names the database each time.
func removingNeverSilences(m *environment, t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   backupapi.Kind
		remove func(ns string, o client.Object)
		want   string // of the audit; "" if the database stays protected
	}{
		{"a StatefulSet's annotation", backupapi.KindStatefulSet, m.withoutAnnotation(backupapi.AnnotationEnabled), "no backup is requested"},
		{"a Secret's annotation", backupapi.KindSecret, m.withoutAnnotation(backupapi.AnnotationEnabled), "enabled is not true on the Secret"},
		{"every annotation of a Secret", backupapi.KindSecret, m.withoutAnnotation(backupapi.AnnotationEnabled, backupapi.AnnotationBucket), "enabled is not true on the Secret"},
		{"the Secret", backupapi.KindSecret, func(_ string, o client.Object) { m.remove(o) }, "the Secret was deleted"},
		{"backup in the namespace of a StatefulSet", backupapi.KindStatefulSet, m.refuseIn, "the namespace refuses backups"},
		{"backup in the namespace of a Secret", backupapi.KindSecret, m.refuseIn, "the namespace is labelled"},
		{"the wiring of a StatefulSet's namespace", backupapi.KindStatefulSet, m.unwire, ""},
		{"the wiring of a Secret's namespace", backupapi.KindSecret, m.unwire, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := m.namespace(nil)
			annotations := map[string]string{backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://nova/" + ns}
			set := database(ns, "db")
			set.Spec.Template.Spec.Containers[0].Image = "postgres:17"
			var o client.Object = set
			if c.kind == backupapi.KindSecret {
				o = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db", Annotations: annotations}, StringData: map[string]string{"url": "postgres://u:p@db.example.org"}}
			}
			m.create(o)
			source := backupapi.Source{Kind: c.kind, Namespace: ns, Name: "db"}
			job := m.cronJob(ns, resources.BackupName(source))
			m.backedUp(job)
			audit := func() string {
				stdout, _, _ := cli(t, "backup", "audit", "--kubeconfig", filepath.Join(m.dir, "kubeconfig"), "-n", ns)
				return stdout
			}
			m.eventually("protected", func() bool { return strings.Contains(audit(), "yes") })
			c.remove(ns, o)
			if c.want == "" {
				if got := audit(); !strings.Contains(got, "yes") {
					t.Errorf("no longer protected:\n%s", got)
				}
				return
			}
			m.eventually("named as unprotected", func() bool {
				got := audit()
				return strings.Contains(got, "NO") && strings.Contains(got, c.want)
			})
		})
	}
}

// backedUp creates the pod of a run that succeeded.
func (m *environment) backedUp(job *batchv1.CronJob) {
	m.Helper()
	template := job.Spec.JobTemplate.Spec.Template
	template.Labels[batchv1.JobNameLabel] = "night"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: "night", Labels: template.Labels, Annotations: template.Annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: resources.Container, Image: "postgres:17"}}},
	}
	m.create(pod)
	taken := time.Now().UTC()
	result := backupapi.Result{Verb: resources.VerbRun, Started: taken, Databases: []backupapi.DatabaseResult{{Name: "nova", Backup: "x", LastSuccess: &taken}}}
	pod.Status.Phase = corev1.PodSucceeded
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: resources.Container, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Message: string(result.Encode()), ContainerID: "containerd://x", StartedAt: metav1.Now(), FinishedAt: metav1.Now(),
	}}}}
	if err := m.client.Status().Update(m.Context(), pod); err != nil {
		m.Fatal(err)
	}
}

func (m *environment) change(o client.Object, change func()) {
	m.Helper()
	m.eventually("changed", func() bool {
		if err := m.client.Get(m.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			m.Fatal(err)
		}
		change()
		return m.client.Update(m.Context(), o) == nil
	})
}

func (m *environment) withoutAnnotation(keys ...string) func(string, client.Object) {
	return func(_ string, o client.Object) {
		m.change(o, func() {
			annotations := o.GetAnnotations()
			for _, key := range keys {
				delete(annotations, key)
			}
			o.SetAnnotations(annotations)
		})
	}
}

func (m *environment) remove(o client.Object) {
	m.Helper()
	if err := m.client.Delete(context.Background(), o); err != nil {
		m.Fatal(err)
	}
}

func (m *environment) refuseIn(ns string, _ client.Object) {
	o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	m.change(o, func() { o.Labels[backupapi.LabelNamespace] = backupapi.NamespaceDisabled })
}

func (m *environment) unwire(ns string, _ client.Object) {
	o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	m.change(o, func() { delete(o.Labels, injection.LabelWiring) })
}
