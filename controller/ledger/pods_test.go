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
		"it has not started":                         {corev1.ContainerStatus{State: waiting}, "[]", 0},
		"it runs":                                    {corev1.ContainerStatus{ContainerID: "a", State: running}, "[a]", 0},
		"it has ended":                               {corev1.ContainerStatus{ContainerID: "a", State: ended("a", final)}, "[a+]", 1},
		"it was killed without a message":            {corev1.ContainerStatus{ContainerID: "a", State: ended("a", "")}, "[a-]", 1},
		"its message was cut off":                    {corev1.ContainerStatus{ContainerID: "a", State: ended("a", final[:20])}, "[a-]", 1},
		"it runs again":                              {corev1.ContainerStatus{ContainerID: "b", RestartCount: 1, State: running, LastTerminationState: ended("a", final)}, "[a+ b]", 1},
		"it waits for its next start":                {corev1.ContainerStatus{ContainerID: "b", RestartCount: 1, State: waiting, LastTerminationState: ended("b", final)}, "[b+]", 2},
		"it has ended again":                         {corev1.ContainerStatus{ContainerID: "b", RestartCount: 1, State: ended("b", final), LastTerminationState: ended("a", "")}, "[a- b+]", 2},
		"it runs after starts that nobody has shown": {corev1.ContainerStatus{ContainerID: "e", RestartCount: 4, State: running, LastTerminationState: ended("d", final)}, "[d+ e]", 4},
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
		service, port string // "": there is no sidecar
	}{
		"a native sidecar":              {corev1.PodSpec{InitContainers: []corev1.Container{{Name: "init"}, sidecar}}, "a $b", "28888"},
		"an ordinary container":         {corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}, sidecar}}, "a $b", "28888"},
		"one without variables":         {corev1.PodSpec{Containers: []corev1.Container{{Name: sidecarapi.ContainerName}}}, "other", "18888"},
		"none":                          {corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}, "", ""},
		"a pod with the node's address": {corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{sidecar}}, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			found := findSidecar(&corev1.Pod{Spec: c.pod})
			if found == nil {
				if c.service != "" {
					t.Error("it was not found")
				}
				return
			}
			if service, port := serviceOf(found), portOf(found); service != c.service || port != c.port {
				t.Errorf("service %q, port %s; want %q, %s", service, port, c.service, c.port)
			}
		})
	}
}
