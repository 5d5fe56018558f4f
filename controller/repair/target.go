package repair

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// target is what the controller reads of a workload.
type target struct {
	object   client.Object
	template *corev1.PodTemplateSpec
	selector *metav1.LabelSelector
	claims   []corev1.PersistentVolumeClaim // of a StatefulSet
	desired  int32
	minReady time.Duration // how long a ready pod is not yet available
	// settled reports whether all pods are of the newest template, and available.
	settled bool
	unable  string // why it is never repaired; "" if it can be
}

func (r *Repairer) read(ctx context.Context, k key) (*target, error) {
	switch k.kind {
	case "Deployment":
		var d appsv1.Deployment
		err := r.live.Get(ctx, k.objectKey(), &d)
		return ofDeployment(&d), err
	case "StatefulSet":
		var s appsv1.StatefulSet
		err := r.live.Get(ctx, k.objectKey(), &s)
		return ofStatefulSet(&s), err
	default:
		var d appsv1.DaemonSet
		err := r.live.Get(ctx, k.objectKey(), &d)
		return ofDaemonSet(&d), err
	}
}

func ofDeployment(d *appsv1.Deployment) *target {
	t := &target{object: d, template: &d.Spec.Template, selector: d.Spec.Selector, desired: replicas(d.Spec.Replicas), minReady: seconds(d.Spec.MinReadySeconds)}
	s := d.Status
	t.settled = s.ObservedGeneration >= d.Generation && s.Replicas == t.desired && s.UpdatedReplicas == t.desired && s.AvailableReplicas == t.desired
	if d.Spec.Paused {
		t.unable = "its roll-outs are paused, so that a repair could not be undone"
	}
	return t
}

func ofStatefulSet(s *appsv1.StatefulSet) *target {
	t := &target{object: s, template: &s.Spec.Template, selector: s.Spec.Selector, claims: s.Spec.VolumeClaimTemplates, desired: replicas(s.Spec.Replicas), minReady: seconds(s.Spec.MinReadySeconds)}
	st := s.Status
	t.settled = st.ObservedGeneration >= s.Generation && st.Replicas == t.desired && st.AvailableReplicas == t.desired && st.CurrentRevision == st.UpdateRevision
	switch rolling := s.Spec.UpdateStrategy.RollingUpdate; {
	case s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType:
		t.unable = onDelete
	case rolling != nil && rolling.Partition != nil && *rolling.Partition > 0:
		t.unable = "its update strategy has a partition, so that a repair could not be undone below it"
	}
	return t
}

func ofDaemonSet(d *appsv1.DaemonSet) *target {
	t := &target{object: d, template: &d.Spec.Template, selector: d.Spec.Selector, desired: d.Status.DesiredNumberScheduled, minReady: seconds(d.Spec.MinReadySeconds)}
	s := d.Status
	t.settled = s.ObservedGeneration >= d.Generation && s.UpdatedNumberScheduled == t.desired && s.NumberAvailable == t.desired
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		t.unable = onDelete
	}
	return t
}

const onDelete = "its update strategy is OnDelete: somebody chooses when its pods are replaced"

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// hashOf returns a hash of a pod template.
func hashOf(template *corev1.PodTemplateSpec) (string, error) {
	text, err := json.Marshal(template)
	if err != nil {
		return "", fmt.Errorf("encode the pod template: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}
