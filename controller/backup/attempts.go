package backup

import (
	"context"
	"slices"

	"github.com/nova/novawire/controller/backup/resources"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxCounted bounds the list of what was counted. A StatefulSet has far fewer
// pods at a time: two CronJobs keep two Jobs of each end, of three pods at most.
const maxCounted = 64

// countAttempts adds what pods did that is not yet known.
func (r *reconciler) countAttempts(ctx context.Context, it *state) error {
	attempts, err := r.listAttempts(ctx, it)
	if err != nil {
		return err
	}
	lost := r.deletedPods.list(it.name)
	for _, pod := range lost {
		if a, ok := attemptOf(pod, true); ok {
			attempts = append(attempts, a)
		}
	}
	slices.SortStableFunc(attempts, func(a, b attempt) int { return a.finished.Compare(b.finished) })
	for _, a := range attempts {
		if _, concerns := eventReasons[a.verb]; !concerns || slices.Contains(it.status.Counted, a.id) {
			continue
		}
		r.recordAttempt(it, a)
		it.status = applyResult(it.status, a)
	}
	if surplus := len(it.status.Counted) - maxCounted; surplus > 0 {
		it.status.Counted = it.status.Counted[surplus:]
	}
	if !it.status.Empty() {
		r.metrics.set(it.name, it.status) // told: not to be told again, whatever fails from here on
	}
	r.deletedPods.removeFirst(it.name, len(lost))
	return nil
}

// listAttempts are those of pods and Jobs that are there.
func (r *reconciler) listAttempts(ctx context.Context, it *state) (attempts []attempt, err error) {
	ours := []client.ListOption{client.InNamespace(it.name.Namespace), client.MatchingLabels{resources.LabelStatefulSet: it.name.Name}}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, ours...); err != nil {
		return nil, err
	}
	for i := range pods.Items {
		if a, ok := attemptOf(&pods.Items[i], false); ok {
			attempts = append(attempts, a)
		}
	}
	var jobs batchv1.JobList
	if err := r.client.List(ctx, &jobs, ours...); err != nil {
		return nil, err
	}
	for i := range jobs.Items {
		if a, ok := attemptOfJob(&jobs.Items[i]); ok {
			attempts = append(attempts, a)
		}
	}
	return attempts, nil
}
