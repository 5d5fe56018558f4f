package ledger

import (
	"net"
	"net/netip"
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
				return unique.Make(ledgerapi.Name(strings.ReplaceAll(a.Value, "$$", "$"))).Value()
			}
		}
	}
	return ledgerapi.Other
}

// addressOf returns where the sidecar's ledger is read: the pod's own address and a port,
// which whoever creates the pod chooses; "" if it is no address.
func addressOf(pod *corev1.Pod, sidecar *corev1.Container) string {
	port := uint64(sidecarapi.MetricsPort)
	for _, v := range sidecar.Env {
		if _, text, err := net.SplitHostPort(v.Value); err == nil && v.Name == sidecarapi.EnvMetricsListen {
			if port, err = strconv.ParseUint(text, 10, 16); err != nil {
				return ""
			}
		}
	}
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || ip.Zone() != "" || port == 0 {
		return ""
	}
	return netip.AddrPortFrom(ip, uint16(port)).String()
}

// run is one start of the sidecar of a pod, as the status of the pod shows it.
type run struct {
	number  int                // of the start, from 1
	id      string             // of the container; "": it is not known
	ended   bool               // message says how; nil: it is not known
	message *ledgerapi.Message // of a run that has ended
	heard   *ledgerapi.Message // that it said of itself while it ran
}

// runs returns what the status shows, the older run first, and how many have ended.
func runs(pod *corev1.Pod) (all []run, ended int) {
	s := statusOf(pod)
	if s == nil {
		return nil, 0
	}
	ended = int(s.RestartCount)
	last := s.LastTerminationState.Terminated
	if s.State.Running == nil && s.State.Terminated == nil && last != nil && (last.ContainerID != "" || pod.DeletionTimestamp != nil) {
		// It waits for its next start: the count is that of the last one. If the kubelet has
		// lost the container, it has counted already.
		ended++
	}
	if last != nil {
		all = append(all, endedRun(ended, last))
	}
	switch {
	case s.State.Running != nil:
		all = append(all, run{number: ended + 1, id: s.ContainerID})
	case s.State.Terminated != nil:
		ended++
		all = append(all, endedRun(ended, s.State.Terminated))
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

func endedRun(number int, t *corev1.ContainerStateTerminated) run {
	r := run{number: number, id: t.ContainerID, ended: true}
	if m, err := ledgerapi.ParseMessage([]byte(t.Message)); err == nil {
		r.message = &m
	}
	return r
}
