package backup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

func enabled(more ...string) map[string]string {
	annotations := map[string]string{backupapi.AnnotationEnabled: "true"}
	for i := 0; i < len(more); i += 2 {
		annotations[more[i]] = more[i+1]
	}
	return annotations
}

func TestReconcile_CreatesCronJobs(t *testing.T) {
	b := newEnvironment(t)
	b.statefulSet("auth-db", enabled(backupapi.AnnotationTimeZone, "Europe/Berlin"))
	backup := b.awaitCronJob("auth-db-backup", running)
	drill := b.awaitCronJob("auth-db-drill", running)
	if backup.Spec.Schedule != "0 1 * * *" || *backup.Spec.TimeZone != "Europe/Berlin" || drill.Spec.Schedule != "0 3 1 */3 *" {
		t.Errorf("runs at %s and %s", backup.Spec.Schedule, drill.Spec.Schedule)
	}
	b.awaitEvent("BackupScheduled", "s3://nova-backups/test/"+b.namespace+"/auth-db")
	status := b.awaitStatus("auth-db", "scheduled", func(s backupapi.Status) bool { return s.Schedule != "" })
	if diff := cmp.Diff(backupapi.Status{
		Schedule: "0 1 * * *", DrillSchedule: "0 3 1 */3 *", TimeZone: "Europe/Berlin", Location: "s3://nova-backups/test/" + b.namespace + "/auth-db",
	}, status); diff != "" {
		t.Errorf("status (-want +got)\n%s", diff)
	}
}

func TestReconcile_AppliesChangedRequest(t *testing.T) {
	b := newEnvironment(t)
	s := b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-drill", running)
	b.annotate(s, map[string]string{backupapi.AnnotationSchedule: "30 2 * * *", backupapi.AnnotationDrillSchedule: "never", backupapi.AnnotationServiceAccount: "backup"})
	b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string {
		if o.Spec.Schedule != "30 2 * * *" || o.Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName != "backup" {
			return o.Spec.Schedule
		}
		return ""
	})
	b.eventually("no drills", func() string {
		if b.cronJob("auth-db-drill") != nil {
			return "the CronJob is there"
		}
		return ""
	})
	b.eventually("no ServiceAccount of ours", func() string {
		if b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "auth-db-backup"}, &corev1.ServiceAccount{}) == nil {
			return "it is there"
		}
		return ""
	})
	b.annotate(s, map[string]string{backupapi.AnnotationSuspend: "true"})
	b.awaitCronJob("auth-db-backup", suspended(resources.ReasonSuspended))
	b.annotate(s, map[string]string{backupapi.AnnotationSuspend: ""})
	b.awaitCronJob("auth-db-backup", running)
	b.reconfigure(func(c *resources.Config) { c.Image = "pg-backup:next" })
	b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string {
		return unless(o.Spec.JobTemplate.Spec.Template.Spec.InitContainers[0].Image == "pg-backup:next", "the image is the old one")
	})
}

func unless(holds bool, problem string) string {
	if holds {
		return ""
	}
	return problem
}

func TestReconcile_RevertsChangesByOthers(t *testing.T) {
	b := newEnvironment(t)
	b.statefulSet("auth-db", enabled())
	o := b.awaitCronJob("auth-db-backup", running)
	before := o.DeepCopy()
	o.Spec.Schedule = "59 23 31 12 *"
	if err := b.client.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string { return unless(o.Spec.Schedule == "0 1 * * *", o.Spec.Schedule) })
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "auth-db-backup"}}
	b.delete(policy)
	b.eventually("the policy is back", func() string {
		return unless(b.client.Get(t.Context(), client.ObjectKeyFromObject(policy), policy) == nil, "it is not")
	})
}

func TestReconcile_LeavesForeignObjectsAlone(t *testing.T) {
	b := newEnvironment(t)
	theirs := b.foreignCronJob("auth-db-backup")
	b.statefulSet("auth-db", enabled())
	b.awaitEvent("BackupRefused", "was not created by Novawire")
	if o := b.cronJob("auth-db-backup"); o.Spec.Schedule != theirs.Spec.Schedule || o.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("it was changed: %v", o)
	}
}

func (b *environment) foreignCronJob(name string) *batchv1.CronJob {
	o := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name},
		Spec: batchv1.CronJobSpec{Schedule: "7 7 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{
			Template: b.podTemplate(),
		}}},
	}
	b.create(o)
	return o
}

func (b *environment) podTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
}

func TestReconcile_RefusedRequestKeepsCronJobs(t *testing.T) {
	b := newEnvironment(t)
	s := b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-backup", running)
	b.annotate(s, map[string]string{backupapi.AnnotationSchedule: "tonight"})
	b.awaitEvent("BackupRefused", `backup.nova.dev/schedule: "tonight" is refused`)
	b.awaitStatus("auth-db", "refused", func(s backupapi.Status) bool { return len(s.Refused) == 1 })
	b.awaitCronJob("auth-db-backup", running)
	b.annotate(s, map[string]string{backupapi.AnnotationSchedule: "0 2 * * *"})
	b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string { return unless(o.Spec.Schedule == "0 2 * * *", o.Spec.Schedule) })
	b.awaitStatus("auth-db", "well again", func(s backupapi.Status) bool { return len(s.Refused) == 0 })
}

func TestReconcile_RefusesOtherEngines(t *testing.T) {
	b := newEnvironment(t)
	s := postgres("cache")
	s.Namespace, s.Annotations = b.namespace, enabled()
	s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "db", Image: "mysql:8", Ports: []corev1.ContainerPort{{ContainerPort: 3306}}}}
	b.create(s)
	b.awaitEvent("BackupRefused", "this is MySQL, not PostgreSQL")
	b.awaitStatus("cache", "refused", func(s backupapi.Status) bool { return len(s.Refused) == 1 })
	if b.cronJob("cache-backup") != nil {
		t.Error("a CronJob exists, which fails each night")
	}
	b.annotate(s, map[string]string{backupapi.AnnotationClientImage: "registry/postgres:17"})
	b.awaitCronJob("cache-backup", running)
}

func TestReconcile_ServiceAccountOfTheNamespace(t *testing.T) {
	b := newEnvironment(t)
	const role = "eks.amazonaws.com/role-arn"
	b.reconfigure(func(c *resources.Config) {
		c.ServiceAccountAnnotations = map[string]string{role: "arn:aws:iam::1:role/all", "example.org/cost": "shared"}
	})
	b.statefulSet("auth-db", enabled())
	account := func(want string) {
		t.Helper()
		b.eventually("ServiceAccount", func() string {
			o := &corev1.ServiceAccount{}
			if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "auth-db-backup"}, o); err != nil {
				return err.Error()
			}
			return unless(o.Annotations[role] == want && o.Annotations["example.org/cost"] == "shared", fmt.Sprint(o.Annotations))
		})
	}
	account("arn:aws:iam::1:role/all")
	annotate := func(value string) {
		t.Helper()
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, backupapi.AnnotationServiceAccountAnnotations, value)
		if err := b.client.Patch(t.Context(), ns, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	annotate(role + "=arn:aws:iam::1:role/team-a")
	account("arn:aws:iam::1:role/team-a")
	annotate("arn:aws:iam::1:role/team-b")
	b.awaitEvent("BackupRefused", "namespace annotation "+backupapi.AnnotationServiceAccountAnnotations)
	account("arn:aws:iam::1:role/team-a")
}

// An operator removes annotations that it does not know from its StatefulSet.
func TestReconcile_DoesNotFightOperators(t *testing.T) {
	b := newEnvironment(t)
	s := postgres("orders")
	controller := true
	s.Namespace, s.Annotations = b.namespace, enabled()
	s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "acid.zalan.do/v1", Kind: "postgresql", Name: "orders", UID: "1", Controller: &controller}}
	b.create(s)
	b.awaitCronJob("orders-backup", func(o *batchv1.CronJob) string {
		return unless(o.Annotations[backupapi.AnnotationStatus] != "", "has no status")
	})
	for range 3 { // the operator replaces the annotations
		current := &appsv1.StatefulSet{}
		if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(s), current); err != nil {
			t.Fatal(err)
		}
		if current.Annotations[backupapi.AnnotationStatus] != "" {
			t.Fatal("the StatefulSet of an operator was annotated")
		}
		current.Annotations = enabled()
		if err := b.client.Update(t.Context(), current); err != nil {
			t.Fatal(err)
		}
		b.reconfigure(func(c *resources.Config) { c.Image += "x" })
		want := b.configNow().Image
		b.awaitCronJob("orders-backup", func(o *batchv1.CronJob) string {
			return unless(o.Spec.JobTemplate.Spec.Template.Spec.InitContainers[0].Image == want, "is not reconciled yet")
		})
	}
	for _, call := range b.writes.all() {
		if strings.HasSuffix(call, "/statefulsets/orders") {
			t.Errorf("written: %s", call)
		}
	}
}
