package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// sourceCronJob creates the CronJob of a source that is no StatefulSet.
func (e environment) sourceCronJob(source backupapi.Source, serves, suspended string, status backupapi.Status) {
	e.Helper()
	_, template := podTemplate("postgres:17")
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	annotations := map[string]string{backupapi.AnnotationStatus: status.Encode(), resources.AnnotationSource: source.Reference()}
	if serves != "" {
		annotations[resources.AnnotationServes] = serves
	}
	if suspended != "" {
		annotations[resources.AnnotationSuspendReason] = suspended
	}
	labels := resources.SourceLabels(source)
	labels[resources.LabelManagedBy] = resources.ManagedBy
	e.create(&batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: source.Namespace, Name: resources.BackupName(source), Labels: labels, Annotations: annotations},
		Spec:       batchv1.CronJobSpec{Schedule: "0 1 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}},
	})
}

// A database that a Secret or Service backs up is known from the CronJob: the audit needs
// no right to read Secrets. One whose Secret was removed stays unprotected.
func TestRun_SecretsAndServices(t *testing.T) {
	e := newEnvironment(t)
	ns := e.namespace(nil)
	at := time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)
	good := backupapi.Status{Databases: []backupapi.DatabaseStatus{{Name: "a", LastSuccess: &at}}}
	exempt := good
	exempt.UnprotectedReason = "a copy"
	source := func(kind backupapi.Kind, name string) backupapi.Source {
		return backupapi.Source{Kind: kind, Namespace: ns, Name: name}
	}
	e.sourceCronJob(source(backupapi.KindSecret, "rds"), "", "", good)
	e.sourceCronJob(source(backupapi.KindSecret, "new"), "", "", backupapi.Status{})
	e.sourceCronJob(source(backupapi.KindSecret, "removed"), "", "the Secret was deleted; its backups are kept", good)
	e.sourceCronJob(source(backupapi.KindSecret, "exempt"), "", backupapi.AnnotationEnabled+" is not true on the Secret", exempt)
	e.sourceCronJob(source(backupapi.KindSecret, "pg-app"), "Cluster/gone", "", good) // the audit may not list Clusters
	e.sourceCronJob(source(backupapi.KindService, "db"), "", "", good)
	e.sourceCronJob(source(backupapi.KindService, "external"), "", "", good)

	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db"}}
	deployment.Spec.Selector, deployment.Spec.Template = podTemplate("postgres:17")
	e.create(deployment)
	service := func(name string, spec corev1.ServiceSpec, annotations ...string) {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: map[string]string{}}, Spec: spec}
		for i := 0; i < len(annotations); i += 2 {
			s.Annotations[annotations[i]] = annotations[i+1]
		}
		e.create(s)
	}
	pods := corev1.ServiceSpec{Selector: map[string]string{"app": "db"}, Ports: []corev1.ServicePort{{Port: 5432}}}
	outside := corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "postgres.example.org"}
	service("db", pods, on, "true", backupapi.AnnotationURLSecret, "db/url")
	service("external", outside, on, "true", backupapi.AnnotationURLSecret, "db/url")
	service("incomplete", outside, on, "true")
	service("forgotten", outside)
	want := []string{
		"Deployment/db: protected", "Secret/exempt: exempt", "Secret/new: no-backup-yet", "Secret/pg-app: protected", "Secret/rds: protected", "Secret/removed: suspended",
		"Service/external: protected", "Service/forgotten: not-requested", "Service/incomplete: refused",
	}
	report := e.run(Options{Namespace: ns})
	if diff := cmp.Diff(want, reasons(report)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	for _, d := range report.Databases {
		if d.NeedsAction() && (d.Message == "" || d.Fix == "") {
			t.Errorf("%s needs action and says %q, fix %q", d.Name, d.Message, d.Fix)
		}
	}
}
