package ledger

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	sidecarapi "github.com/nova/novawire/api/sidecar"
)

func TestRuns(t *testing.T) {
	const final = `{"ledger":{"traces":{"accepted":3,"exported":3}}}`
	ended := func(id, message string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: id, Message: message}}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	waiting := corev1.ContainerState{}
	cases := map[string]struct {
		status corev1.ContainerStatus
		want   string // id, and "+" if it has ended with a ledger, "-" without one
		ended  int
	}{
		"it has not started":              {corev1.ContainerStatus{State: waiting}, "[]", 0},
		"it runs":                         {corev1.ContainerStatus{ContainerID: "a", State: running}, "[a]", 0},
		"it has ended":                    {corev1.ContainerStatus{ContainerID: "a", State: ended("a", final)}, "[a+]", 1},
		"it was killed without a message": {corev1.ContainerStatus{ContainerID: "a", State: ended("a", "")}, "[a-]", 1},
		"its message was cut off":         {corev1.ContainerStatus{ContainerID: "a", State: ended("a", final[:20])}, "[a-]", 1},
		"it runs again":                   {corev1.ContainerStatus{ContainerID: "b", RestartCount: 1, State: running, LastTerminationState: ended("a", final)}, "[a+ b]", 1},
		"it waits for its next start":     {corev1.ContainerStatus{ContainerID: "b", RestartCount: 1, State: waiting, LastTerminationState: ended("b", final)}, "[b+]", 2},
		"it has ended again":              {corev1.ContainerStatus{ContainerID: "b", RestartCount: 1, State: ended("b", final), LastTerminationState: ended("a", "")}, "[a- b+]", 2},
		"the kubelet has lost the container, and has counted that": {corev1.ContainerStatus{RestartCount: 1, State: waiting, LastTerminationState: ended("", "")}, "[-]", 1},
		"it runs after starts that nobody has shown":               {corev1.ContainerStatus{ContainerID: "e", RestartCount: 4, State: running, LastTerminationState: ended("d", final)}, "[d+ e]", 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.status.Name = sidecarapi.ContainerName
			for _, pod := range []*corev1.Pod{
				{Status: corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{Name: "init"}, c.status}}},
				{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app"}, c.status}}},
			} {
				all, ended := runs(pod)
				shown := []string{}
				for _, r := range all {
					mark := ""
					if r.ended {
						mark = map[bool]string{true: "+", false: "-"}[r.message != nil]
					}
					if r.number < 1 || r.number > ended+1 || r.ended && r.number > ended {
						t.Errorf("%d ended, and run %s has the number %d", ended, r.id, r.number)
					}
					shown = append(shown, r.id+mark)
				}
				if got := fmt.Sprint(shown); got != c.want || ended != c.ended {
					t.Errorf("%s, %d ended; want %s, %d", got, ended, c.want, c.ended)
				}
			}
		})
	}
}

func TestFindSidecar(t *testing.T) {
	sidecar := corev1.Container{Name: sidecarapi.ContainerName, Env: []corev1.EnvVar{
		{Name: sidecarapi.EnvResourceAttributes, Value: "service.name=a%20$$b,k8s.pod.name=$(NOVAWIRE_POD_NAME)"},
		{Name: sidecarapi.EnvMetricsListen, Value: ":28888"},
	}}
	cases := map[string]struct {
		pod           corev1.PodSpec
		service, from string // "": there is no sidecar
	}{
		"a native sidecar":              {corev1.PodSpec{InitContainers: []corev1.Container{{Name: "init"}, sidecar}}, "a $b", "10.0.0.7:28888"},
		"an ordinary container":         {corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}, sidecar}}, "a $b", "10.0.0.7:28888"},
		"one without variables":         {corev1.PodSpec{Containers: []corev1.Container{{Name: sidecarapi.ContainerName}}}, "other", "10.0.0.7:18888"},
		"none":                          {corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}, "", ""},
		"a pod with the node's address": {corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{sidecar}}, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: c.pod, Status: corev1.PodStatus{PodIP: "10.0.0.7"}}
			found := findSidecar(pod)
			if found == nil {
				if c.service != "" {
					t.Error("it was not found")
				}
				return
			}
			if service, from := serviceOf(found), addressOf(pod, found); service != c.service || from != c.from {
				t.Errorf("service %q, address %s; want %q, %s", service, from, c.service, c.from)
			}
		})
	}
}

// Whoever creates a pod chooses the port, and no more of the request.
func TestAddressOf(t *testing.T) {
	for _, c := range [][3]string{
		{":18888", "fd00::7", "[fd00::7]:18888"},
		{"10.9.9.9:28888", "10.0.0.7", "10.0.0.7:28888"},
		{":1@10.9.9.9:80", "10.0.0.7", "10.0.0.7:18888"}, // no address at all
		{":80@evil", "10.0.0.7", ""},
		{":80/admin?x=", "10.0.0.7", ""},
		{":0", "10.0.0.7", ""},
		{":65536", "10.0.0.7", ""},
		{":http", "10.0.0.7", ""},
		{":18888", "metadata.internal", ""},
		{":18888", "fe80::1%eth0", ""},
	} {
		pod := &corev1.Pod{Status: corev1.PodStatus{PodIP: c[1]}}
		sidecar := &corev1.Container{Env: []corev1.EnvVar{{Name: sidecarapi.EnvMetricsListen, Value: c[0]}}}
		if got := addressOf(pod, sidecar); got != c[2] {
			t.Errorf("%s at %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
