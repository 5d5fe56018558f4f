package ledger

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/attribute"
	ledgerapi "github.com/nova/novawire/api/ledger"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// Annotations of the trimmed pods of the cache. No other pod has them.
const (
	trimmedService = "service"
	trimmedPort    = "port"
)

// transform keeps of a pod what its account needs: of one without a sidecar its name alone.
func transform(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil // a tombstone
	}
	trimmed := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, ResourceVersion: pod.ResourceVersion}}
	container := findSidecar(pod)
	if container == nil || pod.Spec.HostNetwork { // its address would be the node's
		return trimmed, nil
	}
	trimmed.Annotations = map[string]string{
		trimmedService: unique.Make(serviceOf(container)).Value(), trimmedPort: unique.Make(portOf(container)).Value(),
	}
	trimmed.Status.PodIP = pod.Status.PodIP
	for _, list := range [...][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			if s := &list[i]; s.Name == sidecarapi.ContainerName {
				trimmed.Status.ContainerStatuses = []corev1.ContainerStatus{{
					ContainerID: s.ContainerID, RestartCount: s.RestartCount, State: trimState(s.State), LastTerminationState: trimState(s.LastTerminationState),
				}}
			}
		}
	}
	return trimmed, nil
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

func findSidecar(pod *corev1.Pod) *corev1.Container {
	for _, list := range [...][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		if i := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == sidecarapi.ContainerName }); i >= 0 {
			return &list[i]
		}
	}
	return nil
}

// serviceOf returns the service name that injection gave the pod.
func serviceOf(sidecar *corev1.Container) string {
	for _, v := range sidecar.Env {
		if v.Name != sidecarapi.EnvResourceAttributes {
			continue
		}
		attributes, _ := attribute.Parse(v.Value)
		for _, a := range attributes {
			if a.Key == "service.name" && a.Value != "" {
				return strings.ReplaceAll(a.Value, "$$", "$")
			}
		}
	}
	return ledgerapi.Other
}

// portOf returns the port of the sidecar's metrics.
func portOf(sidecar *corev1.Container) string {
	for _, v := range sidecar.Env {
		if _, port, err := net.SplitHostPort(v.Value); err == nil && v.Name == sidecarapi.EnvMetricsListen {
			return port
		}
	}
	return strconv.Itoa(sidecarapi.MetricsPort)
}

// run is one start of the sidecar of a pod, as the status of the pod shows it.
type run struct {
	id      string             // of the container
	ended   bool               // final says how; nil: it is not known
	message *ledgerapi.Message // of a run that has ended
}

// runs returns what the status shows, the older run first, and how many have ended.
func runs(pod *corev1.Pod) (all []run, ended int) {
	if len(pod.Status.ContainerStatuses) == 0 {
		return nil, 0
	}
	s := &pod.Status.ContainerStatuses[0]
	ended = int(s.RestartCount)
	if t := s.LastTerminationState.Terminated; t != nil {
		all = append(all, endedRun(t))
	}
	switch {
	case s.State.Running != nil:
		all = append(all, run{id: s.ContainerID})
	case s.State.Terminated != nil:
		all = append(all, endedRun(s.State.Terminated))
		ended++
	case len(all) > 0: // it waits for its next start: the count is that of the last one
		ended++
	}
	return all, ended
}

func endedRun(t *corev1.ContainerStateTerminated) run {
	r := run{id: t.ContainerID, ended: true}
	if m, err := ledgerapi.ParseMessage([]byte(t.Message)); err == nil {
		r.message = &m
	}
	return r
}
