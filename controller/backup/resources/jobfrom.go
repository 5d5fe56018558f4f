package resources

import (
	"maps"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RequestedJob returns the CronJob whose Job the run annotation asks for, and the verb.
// A drill without a schedule of its own uses the backup's CronJob.
func (c Config) RequestedJob(t Target) (*batchv1.CronJob, string) {
	switch {
	case !t.Request.RequestsDrill():
		return c.BackupCronJob(t), VerbRun
	case t.Request.Drill:
		return c.DrillCronJob(t), VerbDrill
	}
	o := c.BackupCronJob(t)
	o.Spec.JobTemplate.Spec = c.jobSpec(t, VerbDrill)
	o.Spec.JobTemplate.Labels = PodLabels(t.Source, VerbDrill)
	return o, VerbDrill
}

// instantiate marks a Job of a CronJob as kubectl create job --from does.
const instantiate = "cronjob.kubernetes.io/instantiate"

// JobFrom returns the Job that a CronJob would start, with a name derived from the token.
func JobFrom(cronJob *batchv1.CronJob, verb, token string) *batchv1.Job {
	yes := true
	template := cronJob.Spec.JobTemplate.DeepCopy()
	annotations := map[string]string{instantiate: "manual"}
	maps.Copy(annotations, template.Annotations)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cronJob.Namespace, Name: JobName(cronJob.Name, verb, token), Labels: template.Labels,
			Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "batch/v1", Kind: "CronJob", Name: cronJob.Name, UID: cronJob.UID, Controller: &yes,
			}},
		},
		Spec: template.Spec,
	}
}
