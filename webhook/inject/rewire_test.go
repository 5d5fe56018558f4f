package inject

import (
	"slices"
	"strings"
	"testing"
)

// otherCluster is a configuration in which pods of the default one are stale.
func otherCluster(change func(*Config)) Config {
	c := DefaultConfig()
	c.ClusterName = "other"
	if change != nil {
		change(&c)
	}
	return c
}

func statusOf(t *testing.T, raw string) Status {
	t.Helper()
	pod, err := decode([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	status, ok := ReadStatus(pod.Metadata.Annotations)
	if !ok {
		t.Fatalf("no status in %s", raw)
	}
	return status
}

func TestEngine_Pod_Completes(t *testing.T) {
	ns := Namespace{Name: "nova"}
	first, _ := wired(t, DefaultConfig(), ns, `{"metadata":{"labels":{"logging":"plain"}},"spec":{"containers":[
		{"name":"app","image":"a","env":[{"name":"OTEL_PROPAGATORS","value":"b3"}]}]}}`)
	grown := string(apply(t, []byte(first), []byte(`[{"op":"add","path":"/spec/containers/-","value":{"name":"late","image":"b"}}]`)))
	second, result := wired(t, DefaultConfig(), ns, grown)
	if result.Action != Completed {
		t.Errorf("action %s, want %s", result.Action, Completed)
	}
	status := statusOf(t, second)
	if len(status.Containers) != 2 || status.Containers[0].Name != "app" || status.Containers[1].Name != "late" {
		t.Errorf("the status has containers %+v", status.Containers)
	}
	if !slices.Equal(status.Kept, []string{"logging"}) {
		t.Errorf("the status keeps %v", status.Kept)
	}
	third, result := wired(t, otherCluster(nil), ns, second)
	if result.Action != Rewired {
		t.Errorf("action %s, want %s", result.Action, Rewired)
	}
	if !strings.Contains(third, `"logging":"plain"`) || !strings.Contains(third, `"value":"b3"`) {
		t.Errorf("a value of the user is lost: %s", third)
	}
}

// TestEngine_Pod_RewiresMetadata takes away what the user does not want any more, and
// nothing else.
func TestEngine_Pod_RewiresMetadata(t *testing.T) {
	const metrics = `"ports":[{"name":"metrics","containerPort":9090}]`
	first := func(port string) string {
		raw, _ := wired(t, DefaultConfig(), Namespace{Name: "nova"}, `{"metadata":{"annotations":{"a":"b"}},"spec":{"containers":[{"name":"app",`+port+`"image":"a"}]}}`)
		return raw
	}
	for name, c := range map[string]struct {
		pod, annotation string
		has, not        []string
	}{
		"no logs any more":     {first(metrics + ","), `"inject.nova.dev/logs":"none"`, []string{`"nova.dev/metrics":"true"`, `"prometheus.io/port":"9090"`}, []string{`"logging"`}},
		"no metrics any more":  {first(metrics + ","), `"inject.nova.dev/metrics":"false"`, []string{`"logging":"structured"`}, []string{`nova.dev/metrics"`, "prometheus.io"}},
		"only logs, as before": {first(""), `"c":"d"`, []string{`"logging":"structured"`}, []string{`nova.dev/metrics"`, "prometheus.io"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := strings.Replace(c.pod, `"a":"b"`, `"a":"b",`+c.annotation, 1)
			raw, _ := wired(t, otherCluster(nil), Namespace{Name: "nova"}, pod)
			raw = strings.Replace(raw, c.annotation, "", 1)
			for _, text := range c.has {
				if !strings.Contains(raw, text) {
					t.Errorf("%s is gone: %s", text, raw)
				}
			}
			for _, text := range c.not {
				if strings.Contains(raw, text) {
					t.Errorf("%s is left: %s", text, raw)
				}
			}
		})
	}
	t.Run("a pod without labels of ours gets no empty list", func(t *testing.T) {
		raw, _ := wired(t, DefaultConfig(), Namespace{Name: "nova", Annotations: map[string]string{"inject.nova.dev/logs": "none"}}, `{"metadata":{},"spec":{"containers":[{"name":"app","image":"a"}]}}`)
		if strings.Contains(raw, "labels") {
			t.Error(raw)
		}
	})
}

// TestEngine_Pod_SidecarPlace renews, moves and leaves containers of the sidecar's name.
func TestEngine_Pod_SidecarPlace(t *testing.T) {
	const (
		ours    = `"metadata":{"annotations":{"inject.nova.dev/status":"{\"config\":\"old\",\"collector\":\"sidecar\"}"}}`
		none    = `"metadata":{"annotations":{"inject.nova.dev/collector":"none","inject.nova.dev/status":"{\"config\":\"old\",\"collector\":\"none\"}"}}`
		app     = `{"name":"app","image":"a"}`
		sidecar = `{"name":"novawire-collector","image":"old"}`
		proxy   = `{"name":"istio-proxy","image":"p","restartPolicy":"Always"}`
		migrate = `{"name":"migrate","image":"m"}`
		renewed = "novawire-collector new"
	)
	classic := func(c *Config) { c.KubernetesVersion = "1.28" }
	for name, c := range map[string]struct {
		change                               func(*Config)
		metadata, initContainers, containers string
		want                                 string // init containers and containers
	}{
		"renewed in place":                        {nil, ours, migrate + "," + sidecar, app, "migrate, novawire-collector new; app"},
		"renewed in front":                        {nil, ours, sidecar + "," + migrate, app, "novawire-collector new, migrate; app"},
		"moved behind a proxy":                    {nil, ours, sidecar + "," + proxy + "," + migrate, app, "istio-proxy, novawire-collector new, migrate; app"},
		"becomes a native sidecar":                {nil, ours, migrate, app + "," + sidecar, "novawire-collector new, migrate; app"},
		"becomes a native sidecar behind a proxy": {nil, ours, proxy + "," + migrate, sidecar + "," + app, "istio-proxy, novawire-collector new, migrate; app"},
		"a container renewed in place":            {classic, ours, migrate, sidecar + "," + app, "migrate; novawire-collector new, app"},
		"becomes a container":                     {classic, ours, sidecar + "," + migrate, app, "migrate; app, novawire-collector new"},
		"the user's, first in the list":           {nil, `"metadata":{}`, "", sidecar + "," + app, "; novawire-collector, app"},
		"the user's, beside another collector":    {nil, none, "", app + "," + sidecar, "; app, novawire-collector"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, _ := wired(t, otherCluster(c.change), Namespace{Name: "nova"},
				`{`+c.metadata+`,"spec":{"initContainers":[`+c.initContainers+`],"containers":[`+c.containers+`]}}`)
			pod, err := decode([]byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			var lists []string
			for _, list := range [][]container{pod.Spec.InitContainers, pod.Spec.Containers} {
				var names []string
				for _, one := range list {
					if one.Name == "novawire-collector" && one.Image != "old" {
						one.Name = renewed
					}
					names = append(names, one.Name)
				}
				lists = append(lists, strings.Join(names, ", "))
			}
			if got := strings.Join(lists, "; "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestEngine_Pod_Guaranteed(t *testing.T) {
	for name, c := range map[string]struct {
		resources string
		want      bool
	}{
		"limits only":            {`{"limits":{"cpu":"1","memory":"1Gi"}}`, true},
		"equal requests":         {`{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1000m","memory":"1024Mi"}}`, true},
		"a lower CPU request":    {`{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1m","memory":"1Gi"}}`, false},
		"a lower memory request": {`{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Mi"}}`, false},
		"no limit on memory":     {`{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, result := wired(t, DefaultConfig(), Namespace{Name: "nova"}, `{"metadata":{},"spec":{"containers":[{"name":"app","image":"a","resources":`+c.resources+`}]}}`)
			has := slices.ContainsFunc(result.Notes, func(n Note) bool { return n.Reason == Guaranteed })
			if has != c.want {
				t.Errorf("guaranteed: %t", has)
			}
		})
	}
}

func TestConfig_GatewayOfANamespace(t *testing.T) {
	config := DefaultConfig()
	config.Gateway.GRPCEndpoint = "http://general:4317"
	config.Namespaces = map[string]NamespaceConfig{"nova": {Gateway: &Gateway{GRPCEndpoint: "http://special:4317"}}}
	const pod = `{"metadata":{"annotations":{"inject.nova.dev/collector":"gateway"}},"spec":{"containers":[{"name":"app","image":"a"}]}}`
	for namespace, want := range map[string]string{"nova": "http://special:4317", "other": "http://general:4317"} {
		raw, _ := wired(t, config, Namespace{Name: namespace}, pod)
		if got := variableOf(t, []byte(raw), "OTEL_EXPORTER_OTLP_ENDPOINT"); got != want {
			t.Errorf("%s: %s", namespace, got)
		}
	}
}
