package drift

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// transform keeps the parts of a pod that [Trim] returns.
func transform(o any) (any, error) {
	if pod, ok := o.(*corev1.Pod); ok {
		return Trim(pod), nil
	}
	return o, nil // a tombstone
}

// Trim returns a pod with the parts that admission and the ledger read, so that the cache of a
// large cluster stays small: of the environment of a container only the variables of
// OpenTelemetry and of Novawire, of the status only that of the sidecar, and no volumes or
// resources.
func Trim(pod *corev1.Pod) *corev1.Pod {
	annotations := maps.Clone(pod.Annotations)
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: pod.Name, GenerateName: pod.GenerateName, Namespace: pod.Namespace, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			Labels: interned.all(pod.Labels), Annotations: interned.all(annotations), OwnerReferences: pod.OwnerReferences, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Spec: corev1.PodSpec{
			HostNetwork: pod.Spec.HostNetwork, RestartPolicy: pod.Spec.RestartPolicy, NodeSelector: pod.Spec.NodeSelector, OS: pod.Spec.OS,
			Affinity: nodeAffinity(pod.Spec.Affinity), SecurityContext: windowsOptions(pod.Spec.SecurityContext),
			InitContainers: trimContainers(pod.Spec.InitContainers), Containers: trimContainers(pod.Spec.Containers),
		},
		Status: corev1.PodStatus{
			Phase: pod.Status.Phase, PodIP: pod.Status.PodIP,
			InitContainerStatuses: trimStatuses(pod.Status.InitContainerStatuses), ContainerStatuses: trimStatuses(pod.Status.ContainerStatuses),
		},
	}
}

// trimStatuses keeps the status of the sidecar: which run it is, and the ledgers of those that
// have ended.
func trimStatuses(list []corev1.ContainerStatus) []corev1.ContainerStatus {
	for i := range list {
		if s := &list[i]; s.Name == sidecarapi.ContainerName {
			return []corev1.ContainerStatus{{
				Name: sidecarapi.ContainerName, ContainerID: s.ContainerID, RestartCount: s.RestartCount,
				State: trimState(s.State), LastTerminationState: trimState(s.LastTerminationState),
			}}
		}
	}
	return nil
}

func trimState(s corev1.ContainerState) (t corev1.ContainerState) {
	if s.Running != nil {
		t.Running = &corev1.ContainerStateRunning{}
	}
	if s.Terminated != nil {
		t.Terminated = &corev1.ContainerStateTerminated{ContainerID: s.Terminated.ContainerID, Message: s.Terminated.Message}
	}
	return t
}

// reference stands for each value that is not a literal: admission reads only that it is one.
var reference = &corev1.EnvVarSource{}

func trimContainers(list []corev1.Container) (trimmed []corev1.Container) {
	for _, c := range list {
		t := corev1.Container{
			Name: interned.one(c.Name), Image: interned.one(c.Image), RestartPolicy: c.RestartPolicy, EnvFrom: c.EnvFrom, Ports: c.Ports,
			LivenessProbe: trimProbe(c.LivenessProbe), ReadinessProbe: trimProbe(c.ReadinessProbe), StartupProbe: trimProbe(c.StartupProbe),
		}
		if mentionsPort(c.Command...) || mentionsPort(c.Args...) {
			t.Command, t.Args = c.Command, c.Args
		}
		if c.SecurityContext != nil && c.SecurityContext.WindowsOptions != nil {
			t.SecurityContext = &corev1.SecurityContext{WindowsOptions: c.SecurityContext.WindowsOptions}
		}
		for _, v := range c.Env {
			if strings.HasPrefix(v.Name, "OTEL_") || strings.HasPrefix(v.Name, "NOVAWIRE_") || mentionsPort(v.Value) {
				kept := corev1.EnvVar{Name: interned.one(v.Name), Value: interned.one(v.Value)}
				if v.ValueFrom != nil {
					kept.ValueFrom = reference
				}
				t.Env = append(t.Env, kept)
			}
		}
		t.Env = slices.Clip(t.Env)
		trimmed = append(trimmed, t)
	}
	return trimmed
}

// mentionsPort reports whether a text can name a port of the sidecar: admission reads from
// commands, arguments and variables what a container listens on.
func mentionsPort(texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(text, "4317") || strings.Contains(text, "4318") || strings.Contains(text, "8888")
	})
}

// trimProbe keeps the port of a probe.
func trimProbe(p *corev1.Probe) *corev1.Probe {
	if p == nil {
		return nil
	}
	trimmed := &corev1.Probe{}
	switch {
	case p.HTTPGet != nil:
		trimmed.HTTPGet = &corev1.HTTPGetAction{Port: p.HTTPGet.Port}
	case p.TCPSocket != nil:
		trimmed.TCPSocket = &corev1.TCPSocketAction{Port: p.TCPSocket.Port}
	case p.GRPC != nil:
		trimmed.GRPC = &corev1.GRPCAction{Port: p.GRPC.Port}
	default:
		return nil
	}
	return trimmed
}

func nodeAffinity(a *corev1.Affinity) *corev1.Affinity {
	if a == nil || a.NodeAffinity == nil {
		return nil
	}
	return &corev1.Affinity{NodeAffinity: a.NodeAffinity}
}

func windowsOptions(s *corev1.PodSecurityContext) *corev1.PodSecurityContext {
	if s == nil || s.WindowsOptions == nil {
		return nil
	}
	return &corev1.PodSecurityContext{WindowsOptions: s.WindowsOptions}
}
