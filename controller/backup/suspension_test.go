package backup

import (
	"fmt"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/controller/backup/resources"
)

func TestReconcile_Suspension(t *testing.T) {
	t.Run("a deleted StatefulSet leaves its CronJobs suspended with the reason, and a new one of the name resumes them", func(t *testing.T) {
		b := newEnvironment(t)
		s := b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-drill", running)
		b.ran("auth-db", resources.VerbRun, "night", 0, succeeded("20261123T010000Z-aaaaaa", 10))
		b.awaitStatus("auth-db", "backed up", backedUp)
		b.delete(s)
		b.awaitCronJob("auth-db-backup", suspended(reasonDeleted(b.set("auth-db"))))
		b.awaitCronJob("auth-db-drill", suspended(reasonDeleted(b.set("auth-db"))))
		b.awaitEvent("BackupSuspended", reasonDeleted(b.set("auth-db")))
		b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-backup", running)
		b.awaitStatus("auth-db", "known from before", backedUp)
	})
	t.Run("on-delete: delete makes the StatefulSet the owner of its CronJobs", func(t *testing.T) {
		b := newEnvironment(t)
		s := b.statefulSet("auth-db", enabled(backupapi.AnnotationOnDelete, "delete"))
		for _, name := range []string{"auth-db-backup", "auth-db-drill"} {
			o := b.awaitCronJob(name, running)
			if len(o.OwnerReferences) != 1 || o.OwnerReferences[0].UID != s.UID {
				t.Errorf("%s is owned by %v, want the StatefulSet", name, o.OwnerReferences)
			}
		}
		b.annotate(s, map[string]string{backupapi.AnnotationOnDelete: ""})
		b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string { return unless(len(o.OwnerReferences) == 0, "is still owned") })
	})
	t.Run("removing enabled suspends the CronJobs", func(t *testing.T) {
		b := newEnvironment(t)
		s := b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-drill", running)
		b.annotate(s, map[string]string{backupapi.AnnotationEnabled: ""})
		b.awaitCronJob("auth-db-backup", suspended(reasonDisabled(b.set("auth-db"))))
		b.awaitCronJob("auth-db-drill", suspended(reasonDisabled(b.set("auth-db"))))
		b.annotate(s, enabled())
		b.awaitCronJob("auth-db-drill", running)
	})
	t.Run("the namespace's refusal label suspends the CronJobs until it is removed", func(t *testing.T) {
		b := newEnvironment(t)
		s := b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-drill", running)
		b.label(backupapi.LabelNamespace, backupapi.NamespaceDisabled)
		b.awaitCronJob("auth-db-backup", suspended(reasonNamespace))
		b.awaitEvent("BackupSuspended", backupapi.LabelNamespace)
		b.annotate(s, map[string]string{backupapi.AnnotationRun: "now"})
		b.awaitEvent("BackupRefused", `"now" starts no run: the namespace is labelled`)
		b.label(backupapi.LabelNamespace, "")
		b.awaitCronJob("auth-db-backup", running)
	})
	t.Run("a new StatefulSet in a namespace that refuses gets a status and an Event, and no CronJob", func(t *testing.T) {
		b := newEnvironment(t)
		b.label(backupapi.LabelNamespace, backupapi.NamespaceDisabled)
		b.statefulSet("auth-db", enabled())
		b.awaitEvent("BackupSuspended", backupapi.LabelNamespace)
		b.awaitStatus("auth-db", "suspended", func(s backupapi.Status) bool { return s.Suspended == reasonNamespace })
		if b.cronJob("auth-db-backup") != nil {
			t.Error("a CronJob exists")
		}
	})
	t.Run("the wiring label has no influence", func(t *testing.T) {
		b := newEnvironment(t)
		b.label(injection.LabelWiring, "")
		b.statefulSet("auth-db", enabled())
		o := b.awaitCronJob("auth-db-backup", running)
		if got := o.Spec.JobTemplate.Spec.Template.Labels[injection.LabelWiring]; got != injection.WiringDisabled {
			t.Errorf("the pod is labelled %s: %q and would be wired", injection.LabelWiring, got)
		}
		b.label(injection.LabelWiring, injection.WiringEnabled)
		b.label(injection.LabelWiring, "")
		b.reconfigure(func(c *resources.Config) { c.Image = "pg-backup:next" })
		b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string {
			return unless(o.Spec.JobTemplate.Spec.Template.Spec.InitContainers[0].Image == "pg-backup:next" && running(o) == "", "is suspended or old")
		})
	})
	t.Run("a renamed StatefulSet leaves the old CronJobs suspended and gets a location of its own", func(t *testing.T) {
		b := newEnvironment(t)
		s := b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-backup", running)
		b.delete(s)
		b.statefulSet("auth-postgres", enabled())
		b.awaitCronJob("auth-db-backup", suspended(reasonDeleted(b.set("auth-db"))))
		b.awaitCronJob("auth-postgres-backup", func(o *batchv1.CronJob) string {
			env := o.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env
			want := corev1.EnvVar{Name: backupapi.EnvS3Bucket, Value: "s3://nova-backups/test/" + b.namespace + "/auth-postgres"}
			return unless(slices.Contains(env, want), fmt.Sprint(env))
		})
	})
}

// set returns the source of a StatefulSet of the namespace.
func (b *environment) set(name string) backupapi.Source {
	return backupapi.StatefulSet(b.namespace, name)
}

func (b *environment) label(key, value string) {
	b.Helper()
	ns := &corev1.Namespace{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Name: b.namespace}, ns); err != nil {
		b.Fatal(err)
	}
	if ns.Labels[key] = value; value == "" {
		delete(ns.Labels, key)
	}
	if err := b.client.Update(b.Context(), ns); err != nil {
		b.Fatal(err)
	}
}

// A deletion that is interrupted at any object is completed by the next reconciliation.
func TestReconcile_DeletesAllObjects(t *testing.T) {
	for _, lost := range []string{
		"nothing", "PATCH cronjobs/auth-db-backup", "DELETE cronjobs/auth-db-drill", "DELETE networkpolicies/auth-db-backup",
		"DELETE serviceaccounts/auth-db-backup", "DELETE cronjobs/auth-db-backup",
	} {
		t.Run(lost+" fails once", func(t *testing.T) {
			b := newEnvironment(t)
			s := b.statefulSet("auth-db", enabled(backupapi.AnnotationOnDelete, "delete"))
			b.awaitCronJob("auth-db-drill", running)
			b.eventually("all objects exist", func() string { return unless(len(b.managed()) > 3, fmt.Sprint("only ", b.managed())) })
			b.writes.failOnce(lost)
			b.annotate(s, map[string]string{backupapi.AnnotationEnabled: "", backupapi.AnnotationOnDelete: ""})
			b.eventually("nothing is left", func() string { return unless(len(b.managed()) == 0, fmt.Sprint(b.managed())) })
			if lost != "nothing" && !b.writes.hasFailed() {
				t.Errorf("the controller did not call %s", lost)
			}
		})
	}
}

// managed lists the objects that the controller made.
func (b *environment) managed() (names []string) {
	b.Helper()
	for _, list := range []client.ObjectList{&batchv1.CronJobList{}, &corev1.ServiceAccountList{}, &networkingv1.NetworkPolicyList{}} {
		if err := b.client.List(b.Context(), list, client.InNamespace(b.namespace), client.MatchingLabels{resources.LabelManagedBy: resources.ManagedBy}); err != nil {
			b.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range items {
			names = append(names, fmt.Sprintf("%T %s", o, o.(client.Object).GetName()))
		}
	}
	return names
}
