package ledger

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"

	"github.com/nova/novawire/api/attribute"
	ledgerapi "github.com/nova/novawire/api/ledger"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// findSidecar returns nil if a pod has no sidecar whose ledger can be read: a pod on the host
// network has the address of its node.
func findSidecar(pod *corev1.Pod) *corev1.Container {
	if pod.Spec.HostNetwork {
		return nil
	}
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
				return unique.Make(strings.ReplaceAll(a.Value, "$$", "$")).Value()
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
	s := statusOf(pod)
	if s == nil {
		return nil, 0
	}
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

func statusOf(pod *corev1.Pod) *corev1.ContainerStatus {
	for _, list := range [...][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		if i := slices.IndexFunc(list, func(s corev1.ContainerStatus) bool { return s.Name == sidecarapi.ContainerName }); i >= 0 {
			return &list[i]
		}
	}
	return nil
}

func endedRun(t *corev1.ContainerStateTerminated) run {
	r := run{id: t.ContainerID, ended: true}
	if m, err := ledgerapi.ParseMessage([]byte(t.Message)); err == nil {
		r.message = &m
	}
	return r
}
