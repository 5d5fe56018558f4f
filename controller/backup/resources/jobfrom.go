package resources

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RequestedJob is the CronJob that is to start at once, and the verb. A drill that has no
// schedule of its own is started by the other.
func (c Config) RequestedJob(t Target) (*batchv1.CronJob, string) {
	switch {
	case !t.Request.RequestsDrill():
		return c.BackupCronJob(t), VerbRun
	case t.Request.Drill:
		return c.DrillCronJob(t), VerbDrill
	}
	o := c.BackupCronJob(t)
	o.Spec.JobTemplate.Spec = c.jobSpec(t, VerbDrill)
	o.Spec.JobTemplate.Labels = PodLabels(t.StatefulSet.Name, VerbDrill)
	return o, VerbDrill
}

// JobFrom is the Job that a CronJob would start, under a name that the token decides.
func JobFrom(cronJob *batchv1.CronJob, verb, token string) *batchv1.Job {
	yes := true
	template := cronJob.Spec.JobTemplate.DeepCopy()
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cronJob.Namespace, Name: JobName(cronJob.Name, verb, token), Labels: template.Labels,
			Annotations: map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}, // as kubectl marks it
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "batch/v1", Kind: "CronJob", Name: cronJob.Name, UID: cronJob.UID, Controller: &yes,
			}},
		},
		Spec: template.Spec,
	}
}
