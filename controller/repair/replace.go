package repair

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nova/novawire/api/injection"
	repairapi "github.com/nova/novawire/api/repair"
	"github.com/nova/novawire/internal/validate"
)

// fieldOwner names the writer of what this controller changes in workloads.
const fieldOwner = client.FieldOwner("novawire-repair")

// annotationRestartedAt is what `kubectl rollout restart` sets on a pod template.
const annotationRestartedAt = "kubectl.kubernetes.io/restartedAt"

// replace evicts a pod or restarts the workload, if a dry run shows that it helps.
func (r *Repairer) replace(ctx context.Context, l *look, pod podOf) (reconcile.Result, error) {
	wired, why := r.prove(ctx, l, pod.Pod)
	if why != "" {
		return r.wait(l, waitUnproven, why, later)
	}
	if l.mode == repairapi.Evict {
		if err := r.evict(ctx, pod.Pod, metav1.DryRunAll); err != nil {
			return r.notEvicted(l, err)
		}
	}
	if err := r.start(ctx, l, wired.CreationTimestamp.Time); err != nil {
		return reconcile.Result{}, err
	}
	p := r.running[l.key]
	if p == nil {
		p = &progress{mode: l.mode}
		r.running[l.key] = p
	}
	p.at, p.last, p.judged, p.ready = r.now(), wired.CreationTimestamp.Time, false, 0
	if l.mode == repairapi.Evict {
		if err := r.evict(ctx, pod.Pod); err != nil {
			return r.notEvicted(l, err)
		}
	}
	r.works(l.key)
	r.next = r.now().Add(time.Minute / time.Duration(l.config.PerMinute))
	if l.mode == repairapi.Evict {
		r.Metrics.count(l.mode, resultEvicted)
		r.log(ctx, l, "pod evicted, so that a wired one replaces it", "pod", pod.Name, "state", pod.state.PodState)
	} else {
		r.Metrics.count(l.mode, resultRestarted)
		r.log(ctx, l, "workload restarted, so that its pods are wired", "state", pod.state.PodState)
	}
	return reconcile.Result{RequeueAfter: often}, nil
}

// prove creates the pod that would replace one, as a dry run. It returns what came back, or why
// a replacement would not help.
func (r *Repairer) prove(ctx context.Context, l *look, old *corev1.Pod) (*corev1.Pod, string) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	pod := podFrom(l.target, old)
	if err := r.client.Create(ctx, pod, client.DryRunAll); err != nil {
		return nil, "the API server refuses the dry run of its pod: " + err.Error()
	}
	state, err := r.Engine().State(pod, l.annotations)
	if err != nil {
		return nil, "the dry run of its pod cannot be read: " + err.Error()
	}
	if state.PodState != injection.PodWired {
		return nil, "the dry run of its pod is not wired, " + state.Message
	}
	return pod, ""
}

// podFrom returns the pod that the workload's controller creates in place of another one.
func podFrom(t *target, old *corev1.Pod) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: *t.template.ObjectMeta.DeepCopy(), Spec: *t.template.Spec.DeepCopy()}
	pod.Namespace, pod.GenerateName = old.Namespace, old.GenerateName
	if pod.GenerateName == "" {
		pod.GenerateName = old.Name + "-"
	}
	pod.Name = pod.GenerateName + "repair"  // a refusal names it: it is the same each time
	for _, o := range old.OwnerReferences { // a copy without blockOwnerDeletion needs no further right
		pod.OwnerReferences = append(pod.OwnerReferences, metav1.OwnerReference{APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Name, UID: o.UID, Controller: o.Controller})
	}
	for _, label := range []string{"pod-template-hash", "controller-revision-hash"} {
		if value, ok := old.Labels[label]; ok {
			if pod.Labels == nil {
				pod.Labels = map[string]string{}
			}
			pod.Labels[label] = value
		}
	}
	for _, claim := range t.claims { // the template's mounts name them, and its volumes of that name do not count
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == claim.Name })
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + old.Name},
		}})
	}
	return pod
}

// evict asks for the eviction of exactly this pod. A PodDisruptionBudget may refuse it.
func (r *Repairer) evict(ctx context.Context, pod *corev1.Pod, dryRun ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return r.client.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}, DryRun: dryRun},
	})
}

// notEvicted waits if the API server refuses the eviction: for a PodDisruptionBudget, for more
// than one of them, for what a webhook says.
func (r *Repairer) notEvicted(l *look, err error) (reconcile.Result, error) {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: often}, nil // the pod is gone, or is another one
	}
	if apierrors.IsTooManyRequests(err) {
		return r.wait(l, waitBudget, "a PodDisruptionBudget holds the pod: "+budget(err), later)
	}
	if _, refused := err.(apierrors.APIStatus); refused {
		return r.wait(l, waitBudget, "the API server refuses the eviction: "+err.Error(), later)
	}
	return reconcile.Result{}, fmt.Errorf("evict a pod of %s: %w", l.key, err)
}

// budget returns what the API server says about the budget.
func budget(err error) string {
	if status, ok := err.(apierrors.APIStatus); ok && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			if cause.Type == policyv1.DisruptionBudgetCause {
				return cause.Message
			}
		}
	}
	return err.Error()
}

// start marks the workload as being repaired, and restarts it if that is the mode.
func (r *Repairer) start(ctx context.Context, l *look, now time.Time) error {
	template := l.template.DeepCopy()
	var restart map[string]any
	if l.mode == repairapi.Restart {
		at := now.UTC().Format(time.RFC3339)
		if template.Annotations == nil {
			template.Annotations = map[string]string{}
		}
		template.Annotations[annotationRestartedAt] = at
		restart = map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotationRestartedAt: at}}}}
	} else if l.status.Phase == repairapi.Running {
		return nil // the mark is there
	}
	hash, err := hashOf(template)
	if err != nil {
		return err
	}
	status := repairapi.Status{Phase: repairapi.Running, Mode: l.mode, Since: now, Config: l.hash, Template: hash}
	if l.status.Phase == repairapi.Running {
		status.Since = l.status.Since
	} else {
		r.events.Eventf(reference(l.key, l.object), nil, corev1.EventTypeNormal, "RepairStarted", "Repair", "%s", validate.EventNote(l.plan()))
	}
	return r.patch(ctx, l, status.String(), restart)
}

// plan says what is going to happen.
func (l *look) plan() string {
	n := 0
	for _, pod := range l.pods {
		if isToReplace(pod, l.config.States) {
			n++
		}
	}
	if l.mode == repairapi.Restart {
		return fmt.Sprintf("%d of %d pods are not wired as they would be now: the workload is restarted", n, len(l.pods))
	}
	return fmt.Sprintf("%d of %d pods are not wired as they would be now: they are evicted one by one", n, len(l.pods))
}

// patch writes the status annotation, nil to remove it, and a part of the spec. It fails if the
// workload has changed since it was read.
func (r *Repairer) patch(ctx context.Context, l *look, status any, spec map[string]any) error {
	content := map[string]any{"metadata": map[string]any{
		"resourceVersion": l.object.GetResourceVersion(), "annotations": map[string]any{injection.AnnotationRepairStatus: status},
	}}
	if spec != nil {
		content["spec"] = spec
	}
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode the patch of %s: %w", l.key, err)
	}
	if err := r.client.Patch(ctx, l.object, client.RawPatch(types.MergePatchType, text), fieldOwner); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("patch %s: %w", l.key, err)
	}
	return nil
}

// finish removes the mark of a repair that has ended well, or is not ours any more.
func (r *Repairer) finish(ctx context.Context, l *look, result, why string) error {
	mode := l.status.Mode
	if err := r.patch(ctx, l, nil, nil); err != nil {
		return err
	}
	r.ended(ctx, l, mode, result, why)
	return nil
}

// ended forgets a repair that has ended, and says so.
func (r *Repairer) ended(ctx context.Context, l *look, mode repairapi.Mode, result, why string) {
	r.forget(l.key)
	r.Metrics.count(mode, result)
	reason, text := "Repaired", "all pods are ready, and none is left to replace"
	if result == resultAbandoned {
		reason, text = "RepairAbandoned", why+" while the workload was repaired"
	}
	r.events.Eventf(reference(l.key, l.object), nil, corev1.EventTypeNormal, reason, "Repair", "%s", validate.EventNote(text))
	r.log(ctx, l, "repair ended", "result", result, "why", why)
}

// giveUp marks a workload that did not get better, and leaves it alone. Unless wiring cannot be
// the cause, its pod template opts out, so that its pods run as they did before.
func (r *Repairer) giveUp(ctx context.Context, l *look, reason string, unwired bool) error {
	status := l.status
	status.Phase, status.Reason = repairapi.Undone, validate.EventNote(reason)
	result, event, effect := resultUndone, "RepairUndone", "; its pods start without wiring from now on"
	if l.unable != "" {
		effect = "; its pods start without wiring once it rolls out (now " + l.unable + ")"
	}
	optOut := map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{injection.LabelWiring: injection.WiringDisabled}}}}
	if unwired {
		status.Phase, result, event, effect, optOut = repairapi.Stopped, resultStopped, "RepairStopped", "", nil
	}
	if err := r.patch(ctx, l, status.String(), optOut); err != nil {
		return err
	}
	r.forget(l.key)
	r.Metrics.count(status.Mode, result)
	text := reason + effect + "; it is left alone. " + l.again(optOut != nil)
	if l.kind == "StatefulSet" && optOut != nil {
		text += r.evictUnready(ctx, l)
	}
	r.events.Eventf(reference(l.key, l.object), nil, corev1.EventTypeWarning, event, "Repair", "%s", validate.EventNote(text))
	log.FromContext(ctx).WithName("repair").Error(nil, "repair did not help", "workload", l.key.String(), "namespace", l.namespace, "result", result, "reason", reason)
	return nil
}

// again names the command after which the workload is repaired again.
func (l *look) again(optedOut bool) string {
	patch := `{"metadata":{"annotations":{"` + injection.AnnotationRepairStatus + `":null}}`
	if optedOut {
		patch += `,"spec":{"template":{"metadata":{"labels":{"` + injection.LabelWiring + `":null}}}}`
	}
	return fmt.Sprintf("To try again: kubectl -n %s patch %s --type merge -p '%s}'", l.namespace, l.key, patch)
}

// evictUnready evicts the new pods of a StatefulSet that are not ready: its controller waits for
// them before it uses another template. It returns what is left to do.
func (r *Repairer) evictUnready(ctx context.Context, l *look) (left string) {
	for _, pod := range since(l.pods, l.status.Since) {
		if pod.ready || pod.Labels[injection.LabelWiring] == injection.WiringDisabled { // it is of the new template
			continue
		}
		if err := r.evict(ctx, pod.Pod); client.IgnoreNotFound(err) != nil {
			left += fmt.Sprintf(" Pod %s was not evicted (%s): it is tried again, or delete it", pod.Name, budget(err))
		}
	}
	return left
}
