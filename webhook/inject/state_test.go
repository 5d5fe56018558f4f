package inject

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
)

const bare = `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"app"}]}}`

// wiredBy returns a pod as an engine leaves it.
func wiredBy(t *testing.T, engine *Engine, raw string) string {
	t.Helper()
	result, err := engine.Pod([]byte(raw), Namespace{Name: "nova"})
	if err != nil {
		t.Fatal(err)
	}
	return string(apply(t, []byte(raw), result.Patch))
}

func engineWith(t *testing.T, change func(*Config)) *Engine {
	t.Helper()
	config := DefaultConfig()
	change(&config)
	engine, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

func TestEngine_State(t *testing.T) {
	engine := engineWith(t, func(*Config) {})
	wired := wiredBy(t, engine, bare)
	older := wiredBy(t, engineWith(t, func(c *Config) { c.ClusterName = "before" }), bare)
	olderImage := wiredBy(t, engineWith(t, func(c *Config) { c.Sidecar.Image = "novawire-sidecar:v0.1" }), bare)
	migrating := wiredBy(t, engine, strings.Replace(bare, `"containers"`, `"initContainers":[{"name":"migrate","image":"m"}],"containers"`, 1))
	patched := func(raw, operations string) string { return string(apply(t, []byte(raw), []byte(operations))) }
	for name, c := range map[string]struct{ pod, want string }{
		"a pod that the webhook wired":      {wired, "wired: as-asked"},
		"a pod that the webhook never saw":  {bare, "missing: not-reviewed"},
		"a pod of an older configuration":   {older, "stale: older-configuration: " + status(t, older).Config + ", now " + engine.Hash()},
		"a pod with an older sidecar image": {olderImage, "stale: older-sidecar-image: novawire-sidecar:v0.1, now ghcr.io/nova/novawire-sidecar:latest"},
		"a pod that opted out":              {patched(bare, `[{"op":"add","path":"/metadata/labels","value":{"nova.dev/wiring":"disabled"}}]`), "skipped: opted-out"},
		"a pod that opted out later":        {patched(wired, `[{"op":"add","path":"/metadata/labels/nova.dev~1wiring","value":"disabled"}]`), "skipped: opted-out"},
		"a pod on the host network":         {patched(bare, `[{"op":"add","path":"/spec/hostNetwork","value":true}]`), "skipped: host-network"},
		"a Windows pod":                     {patched(bare, `[{"op":"add","path":"/spec/nodeSelector","value":{"kubernetes.io/os":"windows"}}]`), "skipped: windows"},
		"a pod with a container that was added after it was wired": {
			patched(wired, `[{"op":"add","path":"/spec/containers/0","value":{"name":"late","image":"late"}}]`), "changed: changed-after-admission: container late",
		},
		"a pod whose sidecar was removed": {
			patched(wired, `[{"op":"remove","path":"/spec/initContainers/0"}]`), "changed: changed-after-admission: container novawire-collector",
		},
		"a pod with a container that was added later and listens on the sidecar's port": {
			patched(wired, `[{"op":"add","path":"/spec/containers/0","value":{"name":"late","image":"late","ports":[{"containerPort":4317}]}}]`),
			"changed: changed-after-admission: a container listens on a port of the sidecar",
		},
		"a pod whose status was removed": {patched(wired, `[{"op":"remove","path":"/metadata/annotations/inject.nova.dev~1status"}]`), "changed: status-removed"},
		"a pod whose status is no JSON":  {patched(wired, `[{"op":"add","path":"/metadata/annotations/inject.nova.dev~1status","value":"-"}]`), "changed: status-removed"},
		"a pod that the policy left alone": {
			patched(bare, `[{"op":"add","path":"/metadata/annotations","value":{"inject.nova.dev/status":"{\"by\":\"policy\",\"unsupported\":[\"port-taken\",\"image-name\"]}"}}]`),
			"skipped: left-by-policy: port-taken, image-name",
		},
		"a bare pod with a container of the sidecar's name": {
			patched(bare, `[{"op":"add","path":"/spec/containers/-","value":{"name":"novawire-collector","image":"mine"}}]`), "missing: not-reviewed",
		},
		"a bare pod with a container of the sidecar's name and variables": {
			patched(bare, `[{"op":"add","path":"/spec/containers/-","value":{"name":"novawire-collector","image":"mine","env":[{"name":"OTEL_SERVICE_NAME","value":"mine"}]}}]`), "missing: not-reviewed",
		},
		"a pod of an older configuration whose sidecar was removed": {
			patched(older, `[{"op":"remove","path":"/spec/initContainers/0"}]`), "stale: older-configuration: " + status(t, older).Config + ", now " + engine.Hash(),
		},
		"a pod with an init container whose sidecar was removed": {
			patched(migrating, `[{"op":"remove","path":"/spec/initContainers/0"}]`), "changed: changed-after-admission: container novawire-collector",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := engine.State([]byte(c.pod), Namespace{Name: "nova"})
			if err != nil {
				t.Fatal(err)
			}
			text := string(got.PodState) + ": " + string(got.Reason)
			line := string(got.PodState) + ": " + got.Reason.Text()
			if got.Detail != "" {
				text, line = text+": "+got.Detail, line+": "+got.Detail
			}
			if got.String() != line {
				t.Errorf("as text it is %q, want %q", got, line)
			}
			if text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
	t.Run("follows the configuration of the namespace", func(t *testing.T) {
		special := engineWith(t, func(c *Config) {
			c.Namespaces = map[string]NamespaceConfig{"nova": {DeploymentEnvironment: "staging"}}
		})
		if got, err := special.State([]byte(wired), Namespace{Name: "nova"}); err != nil || got.PodState != injection.PodStale {
			t.Errorf("in the namespace that has a configuration of its own: %v, %v", got, err)
		}
		if got, err := special.State([]byte(wired), Namespace{Name: "other"}); err != nil || got.PodState != injection.PodWired {
			t.Errorf("in another namespace: %v, %v", got, err)
		}
		if special.HashIn("nova") == special.Hash() || special.HashIn("other") != special.Hash() {
			t.Error("HashIn does not follow the namespace")
		}
	})
	if _, err := engine.State([]byte("{"), Namespace{}); err == nil {
		t.Error("half an object is a pod")
	}
}

func status(t *testing.T, raw string) Status {
	t.Helper()
	p, err := decode([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	s, ok := ReadStatus(p.Metadata.Annotations)
	if !ok {
		t.Fatalf("no status: %s", raw)
	}
	return s
}

// Every golden pod is wired or skipped after its review, and before it missing or skipped.
func TestEngine_State_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			engine, ns := engineOf(t, archive), namespaceOf(t, archive)
			stateOf := func(name string) injection.PodState {
				pod, err := yaml.YAMLToJSON(section(archive, name))
				if err != nil {
					t.Fatal(err)
				}
				state, err := engine.State(pod, ns)
				if err != nil {
					t.Fatal(err)
				}
				return state.PodState
			}
			before, after := stateOf("pod.yaml"), stateOf("wired.yaml")
			skipped := strings.HasPrefix(string(section(archive, "notes.txt")), string(Skipped))
			switch {
			case skipped && (before != injection.PodSkipped || after != injection.PodSkipped):
				t.Errorf("a skipped pod is %s before the review and %s after it", before, after)
			case !skipped && after != injection.PodWired:
				t.Errorf("%s after the review", after)
			case !skipped && before == injection.PodSkipped:
				t.Errorf("%s before the review", before)
			}
		})
	}
}

func TestEngine_Version(t *testing.T) {
	versioned := func(version string) *Engine { return engineWith(t, func(c *Config) { c.Version = version }) }
	wired := wiredBy(t, versioned("v0.4.0"), bare)
	if got := status(t, wired).Version; got != "v0.4.0" {
		t.Errorf("the status has the version %q", got)
	}
	if got := wiredBy(t, versioned(""), bare); strings.Contains(got, `\"version\"`) {
		t.Errorf("a build without a version writes one: %s", got)
	}
	t.Run("an upgrade that changes nothing else makes no pod stale", func(t *testing.T) {
		next := versioned("v0.5.0")
		if next.Hash() != versioned("v0.4.0").Hash() {
			t.Error("the hash depends on the version")
		}
		for _, pod := range []string{wired, wiredBy(t, versioned(""), bare)} {
			state, err := next.State([]byte(pod), Namespace{Name: "nova"})
			if err != nil || state.PodState != injection.PodWired {
				t.Errorf("%v, %v", state, err)
			}
			if again := wiredBy(t, next, pod); again != pod {
				t.Errorf("it is wired again: %s", again)
			}
		}
	})
}
