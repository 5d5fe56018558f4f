package backup

import (
	"context"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/controller/backup/resources"
)

// maxCounted bounds Status.Counted. A source has far fewer pods at a time: two
// CronJobs keep two successful and two failed Jobs each, of at most three pods.
const maxCounted = 64

// recordAttempts adds the results of pods and Jobs to the status, each once, and
// records an Event for each.
func (r *reconciler) recordAttempts(ctx context.Context, s *state) error {
	attempts, err := r.listAttempts(ctx, s)
	if err != nil {
		return err
	}
	deleted := r.deletedPods.list(s.source)
	for _, pod := range deleted {
		if a, ok := attemptOf(pod, true); ok {
			attempts = append(attempts, a)
		}
	}
	slices.SortStableFunc(attempts, func(a, b attempt) int { return a.finished.Compare(b.finished) })
	for _, a := range attempts {
		if _, recorded := eventReasons[a.verb]; !recorded || slices.Contains(s.status.Counted, a.id) {
			continue
		}
		r.recordAttemptEvent(s, a)
		s.status = applyResult(s.status, a)
	}
	if surplus := len(s.status.Counted) - maxCounted; surplus > 0 {
		s.status.Counted = s.status.Counted[surplus:]
	}
	if !s.status.Empty() {
		r.statuses.set(s.source, s.status) // the Events exist: a later error must not repeat them
	}
	r.deletedPods.removeFirst(s.source, len(deleted))
	return nil
}

// listAttempts returns the attempts of all pods and Jobs that exist.
func (r *reconciler) listAttempts(ctx context.Context, s *state) (attempts []attempt, err error) {
	owned := []client.ListOption{client.InNamespace(s.source.Namespace), client.MatchingLabels(resources.SourceLabels(s.source))}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, owned...); err != nil {
		return nil, err
	}
	for i := range pods.Items {
		if !resources.IsMadeFor(&pods.Items[i], s.source) {
			continue
		}
		if a, ok := attemptOf(&pods.Items[i], false); ok {
			attempts = append(attempts, a)
		}
	}
	var jobs batchv1.JobList
	if err := r.client.List(ctx, &jobs, owned...); err != nil {
		return nil, err
	}
	for i := range jobs.Items {
		if !resources.IsMadeFor(&jobs.Items[i], s.source) {
			continue
		}
		if a, ok := attemptOfJob(&jobs.Items[i]); ok {
			attempts = append(attempts, a)
		}
	}
	return attempts, nil
}
