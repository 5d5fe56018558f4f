package record_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/testing/chunks"
)

func TestPods_Service(t *testing.T) {
	owner := func(kind, name string) []any { return []any{m{{"kind", kind}, {"name", name}, {"controller", true}}} }
	cases := map[string]struct {
		kubernetes m
		want       string
	}{
		"by its annotation":            {m{{"pod_name", "x-1"}, {"annotations", m{{"inject.nova.dev/service-name", "feed"}}}}, "feed"},
		"a Deployment":                 {m{{"pod_name", "user-service-5d8f7c9b46-x2v9k"}, {"labels", m{{"pod-template-hash", "5d8f7c9b46"}}}, {"ownerReferences", owner("ReplicaSet", "user-service-5d8f7c9b46")}}, "user-service"},
		"a Deployment by its label":    {m{{"pod_name", "user-service-5d8f7c9b46-x2v9k"}, {"labels", m{{"pod-template-hash", "5d8f7c9b46"}}}}, "user-service"},
		"a Deployment by its name":     {m{{"pod_name", "user-service-5d8f7c9b46-x2v9k"}}, "user-service"},
		"a StatefulSet":                {m{{"pod_name", "postgres-0"}, {"ownerReferences", owner("StatefulSet", "postgres")}}, "postgres"},
		"a StatefulSet by its name":    {m{{"pod_name", "postgres-0"}}, "postgres"},
		"a DaemonSet by its label":     {m{{"pod_name", "agent-x2v9k"}, {"labels", m{{"controller-revision-hash", "1"}}}}, "agent"},
		"a CronJob":                    {m{{"pod_name", "backup-29123456-x2v9k"}, {"ownerReferences", owner("Job", "backup-29123456")}}, "backup"},
		"a CronJob by its name":        {m{{"pod_name", "backup-29123456-x2v9k"}}, "backup"},
		"a Job with a date":            {m{{"pod_name", "import-20261123-x2v9k"}, {"ownerReferences", owner("Job", "import-20261123")}}, "import-20261123"},
		"a pod alone":                  {m{{"pod_name", "debug"}}, "debug"},
		"a name of words":              {m{{"pod_name", "one-house"}}, "one-house"},
		"an owner that is no owner":    {m{{"pod_name", "debug"}, {"ownerReferences", []any{1, "x"}}}, "debug"},
		"a reference that is no owner": {m{{"pod_name", "debug"}, {"ownerReferences", []any{m{{"kind", "Node"}, {"name", "n"}, {"controller", false}}}}}, "debug"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			chunk := chunks.V1(1, m{{"log", "x"}, {"kubernetes", append(m{{"namespace_name", "nova"}}, c.kubernetes...)}})
			got := events(t, decoder().Decode(chunk, "t", 0))[0].pod
			if got.Service != c.want || got.Namespace != "nova" || !got.Known() {
				t.Errorf("pod is %+v, want service %s", got, c.want)
			}
		})
	}
}

func TestPods_Tag(t *testing.T) {
	for tag, want := range map[string][]string{
		"kube.var.log.containers.user-service-5d8f7c9b46-x2v9k_nova_app-0b6a.log": {"nova", "user-service-5d8f7c9b46-x2v9k", "app", "user-service"},
		"kube.var.log.containers.a.b_ns_c-d-0b.log":                               {"ns", "a.b", "c-d", "a.b"},
		"systemd.kubelet":                       {"", "", "", ""},
		"kube.var.log.containers.broken.log":    {"", "", "", ""},
		"kube.var.log.containers.__.log":        {"", "", "", ""},
		"kube.var.log.containers.a_b_c_d-0.log": {"", "", "", ""},
	} {
		p := events(t, decoder().Decode(chunks.V1(1, m{{"log", "x"}}), tag, 0))[0].pod
		if diff := cmp.Diff(want, []string{p.Namespace, p.Name, p.Container, p.Service}); diff != "" || p.Known() == (want[0] == "") {
			t.Errorf("%s, known %v (-want +got):\n%s", tag, p.Known(), diff)
		}
	}
}

func TestPods_AllMetadata(t *testing.T) {
	d := decoder()
	d.Pods.AllMetadata = true
	chunk := chunks.V1(1, m{{"log", "x"}, {"kubernetes", m{{"pod_name", "p"}, {"labels", m{{"a", "\"b"}}}}}})
	got := messages(events(t, d.Decode(chunk, "t", 0)))
	if diff := cmp.Diff([]string{`{"message":"x","kubernetes":{"pod_name":"p","labels":{"a":"\"b"}}}`}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// A chunk may contain lines of many pods, with and without the filter's metadata.
func TestDecoder_PodOfEachLine(t *testing.T) {
	line := func(pod string) chunks.Raw {
		body := m{{"log", "x"}}
		if pod != "" {
			body = append(body, [2]any{"kubernetes", m{{"pod_name", pod}}})
		}
		return chunks.V1(1, body)
	}
	var got []string
	for _, e := range events(t, decoder().Decode(chunks.Chunk(line("a"), line(""), line("b"), line("b"), line(""), line("a")), "t", 0)) {
		got = append(got, e.pod.Name)
	}
	if diff := cmp.Diff([]string{"a", "", "b", "b", "", "a"}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}
