// Package resources builds the Kubernetes objects of a backup: CronJobs, Jobs, ServiceAccounts
// and NetworkPolicies. Its functions are pure: a source, its request and the
// configuration decide the result.
package resources

import (
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	backupapi "github.com/nova/novawire/api/backup"
)

// startingDeadline is how late a run may start, in seconds, for example after an
// outage of the control plane. A CronJob that misses more than 100 starts within this
// time stops scheduling.
const startingDeadline = 6 * 3600

const historyLimit = 2

// Object is any Kubernetes object. It has the methods of client.Object of
// controller-runtime, which this package does not import because the command line
// does not link it.
type Object interface {
	metav1.Object
	runtime.Object
}

// Objects returns the objects of a source in the order in which they are applied:
// what a Job needs comes before the CronJob that starts it.
func (c Config) Objects(t Target) []Object {
	var objects []Object
	if t.Request.ServiceAccount == "" {
		objects = append(objects, c.serviceAccountOf(t))
	}
	if !c.Network.Disabled {
		objects = append(objects, c.policies(t)...)
	}
	objects = append(objects, c.BackupCronJob(t))
	if t.Request.Drill {
		objects = append(objects, c.DrillCronJob(t))
	}
	return objects
}

// BackupCronJob returns the CronJob that backs up the source's server.
func (c Config) BackupCronJob(t Target) *batchv1.CronJob {
	return c.cronJob(t, BackupName(t.Source), VerbRun, BackupSchedule(t))
}

// DrillCronJob returns the CronJob that restores the newest backups and compares them.
func (c Config) DrillCronJob(t Target) *batchv1.CronJob {
	return c.cronJob(t, DrillName(t.Source), VerbDrill, DrillSchedule(t))
}

// BackupSchedule returns the schedule of backups with each H resolved.
func BackupSchedule(t Target) string {
	return t.Request.Schedule.Schedule(scheduleSeed(t.Source, VerbRun))
}

// DrillSchedule returns the schedule of drills with each H resolved.
func DrillSchedule(t Target) string {
	return t.Request.DrillSchedule.Schedule(scheduleSeed(t.Source, VerbDrill))
}

// ReasonSuspended is the reason why the CronJobs of an enabled StatefulSet are suspended.
const ReasonSuspended = backupapi.AnnotationSuspend + " is true"

func (c Config) cronJob(t Target, name, verb, schedule string) *batchv1.CronJob {
	zone, late, history, suspend := t.Request.TimeZone, int64(startingDeadline), int32(historyLimit), t.Request.Suspend
	o := &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"},
		ObjectMeta: t.meta(name),
		Spec: batchv1.CronJobSpec{
			Schedule: schedule, TimeZone: &zone, Suspend: &suspend,
			ConcurrencyPolicy:          batchv1.ForbidConcurrent,
			StartingDeadlineSeconds:    &late,
			SuccessfulJobsHistoryLimit: &history,
			FailedJobsHistoryLimit:     &history,
			JobTemplate: batchv1.JobTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: PodLabels(t.Source, verb), Annotations: sourceAnnotations(t.Source)},
				Spec:       c.jobSpec(t, verb),
			},
		},
	}
	annotate := func(key, value string) {
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations[key] = value
	}
	if suspend {
		annotate(AnnotationSuspendReason, ReasonSuspended)
	}
	if serves := t.serves(); serves != "" {
		annotate(AnnotationServes, serves)
	}
	return o
}

// apiVersions are those of the kinds of sources.
var apiVersions = map[backupapi.Kind]string{backupapi.KindStatefulSet: "apps/v1", backupapi.KindSecret: "v1", backupapi.KindService: "v1"}

// meta returns the metadata of a generated object. With on-delete: delete the
// source is its owner, so that the garbage collector deletes it. Manifests have
// no UID, so a preview shows no owner.
func (t Target) meta(name string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: t.Source.Namespace, Name: name,
		Labels: SourceLabels(t.Source), Annotations: sourceAnnotations(t.Source),
	}
	m.Labels[LabelManagedBy] = ManagedBy
	if t.Request.OnDelete == backupapi.OnDeleteDelete && t.UID != "" {
		m.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersions[t.Source.Kind], Kind: string(t.Source.Kind), Name: t.Source.Name, UID: t.UID}}
	}
	return m
}

func (c Config) serviceAccountOf(t Target) *corev1.ServiceAccount {
	no := false
	o := &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   t.meta(BackupName(t.Source)),
		AutomountServiceAccountToken: &no,
	}
	for _, annotations := range []map[string]string{c.ServiceAccountAnnotations, t.ServiceAccountAnnotations} {
		if o.Annotations == nil && len(annotations) > 0 {
			o.Annotations = map[string]string{}
		}
		maps.Copy(o.Annotations, annotations)
	}
	return o
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
