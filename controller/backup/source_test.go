package backup

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// zalandoSecret is a name that is too long for a label.
const zalandoSecret = "postgres.acid-minimal-cluster.credentials.postgresql.acid.zalan.do"

func (b *environment) secret(name string, labels, annotations map[string]string) *corev1.Secret {
	b.Helper()
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name, Labels: labels, Annotations: annotations},
		StringData: map[string]string{"username": "u", "password": "hunter2", "host": "db.example.org"},
	}
	b.create(s)
	return s
}

func (b *environment) service(name string, annotations map[string]string) *corev1.Service {
	b.Helper()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name, Annotations: annotations},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "db.example.org"},
	}
	b.create(s)
	return s
}

// setAnnotations replaces the annotations of an object.
func (b *environment) setAnnotations(o client.Object, annotations map[string]string) {
	b.Helper()
	if err := b.client.Get(b.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		b.Fatal(err)
	}
	o.SetAnnotations(annotations)
	if err := b.client.Update(b.Context(), o); err != nil {
		b.Fatal(err)
	}
}

// recorded returns the status of a source's CronJob.
func (b *environment) recorded(source backupapi.Source) backupapi.Status {
	b.Helper()
	o := b.cronJob(resources.BackupName(source))
	if o == nil {
		return backupapi.Status{}
	}
	status, err := backupapi.ParseStatus(o.Annotations[backupapi.AnnotationStatus])
	if err != nil {
		b.Fatal(err)
	}
	return status
}

// ranFor creates a pod of a source's Job that has ended, with the annotations that the
// Job controller copies from the template.
func (b *environment) ranFor(source backupapi.Source, name string, code int32, message string) {
	b.Helper()
	template := b.cronJob(resources.BackupName(source)).Spec.JobTemplate.Spec.Template
	labels := template.Labels
	labels[batchv1.JobNameLabel] = name
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name, Labels: labels, Annotations: template.Annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: resources.Container, Image: "postgres:17"}}, RestartPolicy: corev1.RestartPolicyNever},
	}
	b.create(pod)
	b.end(pod, code, message)
}

// A Secret and a Service get what a StatefulSet gets, and nobody writes to them.
func TestReconcile_SecretAndService(t *testing.T) {
	for name, create := range map[string]func(b *environment, annotations map[string]string) client.Object{
		"a Secret": func(b *environment, annotations map[string]string) client.Object {
			return b.secret("orders", nil, annotations)
		},
		"a Secret with a long name": func(b *environment, annotations map[string]string) client.Object {
			return b.secret(zalandoSecret, map[string]string{"application": "spilo", "cluster-name": "acid-minimal-cluster"}, annotations)
		},
		"a Service": func(b *environment, annotations map[string]string) client.Object {
			annotations[backupapi.AnnotationURLSecret] = "rds/user=username,password=password"
			return b.service("orders", annotations)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newEnvironment(t)
			b.statefulSet("orders", enabled()) // of the same name; it is another database
			b.awaitCronJob("orders-drill", running)
			o := create(b, enabled(backupapi.AnnotationSchedule, "30 2 * * *"))
			source := resources.SourceOf(o)
			backup := b.awaitCronJob(resources.BackupName(source), running)
			b.awaitCronJob(resources.DrillName(source), running)
			if backup.Spec.Schedule != "30 2 * * *" {
				t.Errorf("it runs at %s", backup.Spec.Schedule)
			}
			b.awaitEventOn(source, "BackupScheduled", "created CronJob "+backup.Name)

			b.ranFor(source, "night", 0, succeeded("20261123T010000Z-aaaaaa", 10))
			b.awaitEventOn(source, "BackupSucceeded", "night")
			b.ranFor(source, "second-night", 77, `{"verb":"run","category":"permission","message":"no"}`)
			b.awaitEventOn(source, "BackupFailed", "permission")
			b.eventually("status on the CronJob", func() string {
				s := b.recorded(source)
				return unless(backedUp(s) && s.Failures[backupapi.CategoryPermission] == 1, s.Encode())
			})
			series := strings.Join(gather(t, b.registry), "\n")
			if want := fmt.Sprintf(`novawire_backup_info{namespace=%q,statefulset=%q,suspended="false"} 1`, b.namespace, source.Reference()); !strings.Contains(series, want) {
				t.Errorf("no series %s in\n%s", want, series)
			}
			if s := b.status("orders"); len(s.Databases) > 0 || len(s.Failures) > 0 {
				t.Errorf("the StatefulSet has results of the other source: %s", s.Encode())
			}

			b.setAnnotations(o, withKey(o.GetAnnotations(), backupapi.AnnotationRun, "before-the-migration"))
			b.awaitEventOn(source, "BackupRunStarted", "before-the-migration")
			var jobs batchv1.JobList
			if err := b.client.List(t.Context(), &jobs, client.InNamespace(b.namespace)); err != nil || len(jobs.Items) != 1 {
				t.Fatalf("%d Jobs, %v", len(jobs.Items), err)
			}
			if got, ok := resources.MadeFor(&jobs.Items[0]); !ok || got != source {
				t.Errorf("the Job was made for %v", got)
			}

			b.delete(o)
			b.awaitCronJob(backup.Name, suspended(reasonDeleted(source)))
			b.awaitCronJob("orders-backup", running)
			for _, call := range b.writes.all() {
				if strings.Contains(call, "/secrets/") || strings.Contains(call, "/services/") {
					t.Errorf("the controller wrote: %s", call)
				}
			}
		})
	}
}

func withKey(m map[string]string, key, value string) map[string]string {
	m[key] = value
	return m
}

// awaitEventOn waits for an Event about a source.
func (b *environment) awaitEventOn(source backupapi.Source, reason, text string) {
	b.Helper()
	b.eventually("Event "+reason+" on "+source.String(), func() string {
		var list eventsv1.EventList
		if err := b.client.List(b.Context(), &list, client.InNamespace(b.namespace)); err != nil {
			b.Fatal(err)
		}
		var seen []string
		for _, e := range list.Items {
			on := e.Regarding.Kind == string(source.Kind) && e.Regarding.Name == source.Name
			if on && e.Reason == reason && strings.Contains(e.Note, text) {
				return ""
			}
			seen = append(seen, e.Regarding.Kind+"/"+e.Regarding.Name+" "+e.Reason+": "+e.Note)
		}
		return "only " + strings.Join(seen, "\n")
	})
}

func TestReconcile_SecretSuspension(t *testing.T) {
	t.Run("removing the annotation suspends, and setting it resumes", func(t *testing.T) {
		b := newEnvironment(t)
		o := b.secret("rds", nil, enabled())
		source := resources.SourceOf(o)
		b.awaitCronJob("secret-rds-drill", running)
		b.setAnnotations(o, nil)
		b.awaitCronJob("secret-rds-backup", suspended(reasonDisabled(source)))
		b.awaitCronJob("secret-rds-drill", suspended(reasonDisabled(source)))
		b.setAnnotations(o, enabled())
		b.awaitCronJob("secret-rds-backup", running)
	})
	t.Run("with on-delete: delete the Secret owns its CronJobs, and removing the annotation deletes them", func(t *testing.T) {
		b := newEnvironment(t)
		o := b.secret("rds", nil, enabled(backupapi.AnnotationOnDelete, "delete"))
		job := b.awaitCronJob("secret-rds-drill", running)
		want := metav1.OwnerReference{APIVersion: "v1", Kind: "Secret", Name: "rds", UID: o.UID}
		if !slices.Contains(job.OwnerReferences, want) {
			t.Errorf("owned by %v", job.OwnerReferences)
		}
		b.setAnnotations(o, nil)
		b.eventually("nothing is left", func() string {
			return unless(b.cronJob("secret-rds-backup") == nil && b.cronJob("secret-rds-drill") == nil, "a CronJob is")
		})
	})
	t.Run("a Service without a login is refused with an Event, and gets no CronJob", func(t *testing.T) {
		b := newEnvironment(t)
		o := b.service("db", enabled())
		b.awaitEventOn(resources.SourceOf(o), "BackupRefused", "a Service names no login")
		if b.cronJob("service-db-backup") != nil {
			t.Error("a CronJob exists")
		}
	})
	t.Run("a reason that no backup is needed is recorded", func(t *testing.T) {
		b := newEnvironment(t)
		o := b.secret("rds", nil, enabled())
		source := resources.SourceOf(o)
		b.awaitCronJob("secret-rds-backup", running)
		b.setAnnotations(o, map[string]string{backupapi.AnnotationUnprotectedReason: "a copy"})
		b.eventually("recorded", func() string {
			s := b.recorded(source)
			return unless(s.UnprotectedReason == "a copy" && s.Suspended != "", s.Encode())
		})
	})
}

// Without the right to watch Secrets nothing is deleted or suspended, results are still
// recorded, and the refusal is visible.
func TestReconcile_SecretsAreNotWatched(t *testing.T) {
	b := newEnvironment(t)
	o := b.secret("rds", nil, enabled())
	source := resources.SourceOf(o)
	b.awaitCronJob("secret-rds-drill", running)
	b.stop()
	b.secrets = false
	b.start()
	b.eventually("refused", func() string {
		s := b.recorded(source)
		return unless(len(s.Refused) == 1 && strings.Contains(s.Refused[0], "no right to watch Secrets"), s.Encode())
	})
	b.ranFor(source, "night", 0, succeeded("20261123T010000Z-aaaaaa", 10))
	b.eventually("recorded", func() string { return unless(backedUp(b.recorded(source)), b.recorded(source).Encode()) })
	b.awaitCronJob("secret-rds-backup", running)
	b.stop()
	b.secrets = true
	b.start()
	b.eventually("no longer refused", func() string { return unless(len(b.recorded(source).Refused) == 0, b.recorded(source).Encode()) })
}

// The content of Secrets stays out of the cache: kubectl apply stores it in an annotation.
func TestStrip(t *testing.T) {
	applied := map[string]string{corev1.LastAppliedConfigAnnotation: `{"data":{"password":"aHVudGVyMg=="}}`, backupapi.AnnotationEnabled: "true"}
	secret := secretMetadata()
	secret.Annotations, secret.Labels = applied, map[string]string{"cnpg.io/cluster": "pg"}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"note": "x"}}, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1"}}
	for _, o := range []client.Object{secret, service} {
		if _, err := strip(o); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := json.Marshal(secret); strings.Contains(string(text), "aHVudGVyMg") || secret.Labels["cnpg.io/cluster"] != "pg" || secret.Annotations[backupapi.AnnotationEnabled] != "true" {
		t.Errorf("cached: %s", text)
	}
	if text, _ := json.Marshal(service); strings.Contains(string(text), "10.0.0.1") {
		t.Errorf("cached of a Service without annotations: %s", text)
	}
	if len(applied) != 2 {
		t.Error("the original was changed")
	}
}
