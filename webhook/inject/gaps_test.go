package inject

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestEngine_Pod_Notes has pods of which one thing is not wired, with the reason.
func TestEngine_Pod_Notes(t *testing.T) {
	engine, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pod  string
		want Note
		has  string // in the wired pod
		not  string // in the wired pod
	}{
		"the OpenTelemetry operator adds a collector": {
			`{"metadata":{"annotations":{"sidecar.opentelemetry.io/inject":"true"}},"spec":{"containers":[{"name":"a","image":"a"}]}}`,
			Note{Reason: ForeignCollector, Subject: "sidecar.opentelemetry.io/inject"},
			"OTEL_RESOURCE_ATTRIBUTES", "novawire-collector",
		},
		"variables may come from a Secret": {
			`{"metadata":{},"spec":{"containers":[{"name":"a","image":"a","envFrom":[{"configMapRef":{"name":"other"},"prefix":"APP_"},{"secretRef":{"name":"settings"}}]}]}}`,
			Note{Reason: HiddenVariables, Container: "a", Subject: "Secret settings"},
			"novawire-collector", "OTEL_",
		},
		"the user has a container of the sidecar's name": {
			`{"metadata":{},"spec":{"containers":[{"name":"a","image":"a"},{"name":"novawire-collector","image":"mine"}]}}`,
			Note{Reason: UserCollector, Container: "novawire-collector"},
			`"image":"mine"`, "initContainers",
		},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := engine.Pod([]byte(c.pod), Namespace{Name: "nova"})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(result.Notes, c.want) {
				t.Errorf("notes %+v, want %+v", result.Notes, c.want)
			}
			wired := string(apply(t, []byte(c.pod), result.Patch))
			if !strings.Contains(wired, c.has) || strings.Contains(strings.ReplaceAll(wired, "user-collector novawire-collector", ""), c.not) {
				t.Errorf("%s", wired)
			}
		})
	}
}

func TestEngine_Pod_Unwire(t *testing.T) {
	wire := func(cluster, pod string) string {
		t.Helper()
		config := DefaultConfig()
		config.ClusterName = cluster
		engine, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		result, err := engine.Pod([]byte(pod), Namespace{Name: "nova"})
		if err != nil {
			t.Fatal(err)
		}
		return string(apply(t, []byte(pod), result.Patch))
	}
	wired := wire("one", `{"metadata":{"annotations":{"a":"b"}},"spec":{"containers":[
		{"name":"app","image":"a","env":null},
		{"name":"other","image":"b","env":[{"name":"A","value":"1"},{"name":"OTEL_SERVICE_NAME","value":"mine"},{"name":"Z","value":"2"}]}]}}`)
	// Another webhook sorted the variables.
	sorted := reverseEnv(t, wired, 1)
	narrowed := strings.Replace(sorted, `"a":"b"`, `"a":"b","inject.nova.dev/containers":"app"`, 1)
	again, err := decode([]byte(wire("two", narrowed)))
	if err != nil {
		t.Fatal(err)
	}
	app, other := again.Spec.Containers[0].Env, again.Spec.Containers[1].Env
	if app.count < 8 {
		t.Errorf("app has %d variables", app.count)
	}
	if other.count != 3 || len(other.known) != 1 || other.known[0].Value != "mine" {
		t.Errorf("other has %d variables, of which we know %+v", other.count, other.known)
	}
}

// reverseEnv reverses the variables of a container.
func reverseEnv(t *testing.T, raw string, container int) string {
	t.Helper()
	pod, _ := tree(t, []byte(raw)).(map[string]any)
	containers, _ := child(pod, "spec")["containers"].([]any)
	env, _ := containers[container].(map[string]any)["env"].([]any)
	slices.Reverse(env)
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEngine_Pod_Settings(t *testing.T) {
	const pod = `{"metadata":{},"spec":{"containers":[{"name":"a","image":"a"}]}}`
	for name, c := range map[string]struct {
		change   func(*Config)
		has, not string
	}{
		"no propagators": {func(c *Config) { c.Propagators = nil }, "OTEL_TRACES_SAMPLER", "OTEL_PROPAGATORS"},
		"fixed ports that nobody else uses": {func(c *Config) {
			c.Sidecar.Env = map[string]string{"NOVAWIRE_LISTEN": "127.0.0.1:4317,127.0.0.1:4318", "NOVAWIRE_ENDPOINT": "http://gateway:4317"}
		}, "http://127.0.0.1:4317", "port-fixed"},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			c.change(&config)
			engine, err := New(config)
			if err != nil {
				t.Fatal(err)
			}
			result, err := engine.Pod([]byte(pod), Namespace{Name: "nova"})
			if err != nil {
				t.Fatal(err)
			}
			if wired := string(apply(t, []byte(pod), result.Patch)); !strings.Contains(wired, c.has) || strings.Contains(wired, c.not) {
				t.Errorf("%s", wired)
			}
		})
	}
}

func TestDecode_SecurityContext(t *testing.T) {
	for text, want := range map[string]bool{
		`null`: false, `{}`: false, `{"runAsUser":1}`: false, `{"windowsOptions":{"hostProcess":true}}`: true,
		`{"runAsUser":1,"windowsOptions":{"hostProcess":false}}`: false,
	} {
		pod, err := decode([]byte(`{"spec":{"securityContext":` + text + `}}`))
		if err != nil || pod.Spec.SecurityContext.hostProcess != want {
			t.Errorf("%s: %+v, %v", text, pod.Spec.SecurityContext, err)
		}
	}
	for _, text := range []string{`{"windowsOptions":7}`, `{"windowsOptions":{"hostProcess":"x"}}`} {
		if _, err := decode([]byte(`{"spec":{"securityContext":` + text + `}}`)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

// An element of env is decoded if its name can be one of ours, however it is written.
func TestDecode_KnownVariables(t *testing.T) {
	for element, want := range map[string]int{
		`{"name":"OTEL_SERVICE_NAME","value":"a"}`:      1,
		`{"name":"NOVAWIRE_POD_NAME","value":"a"}`:      1,
		`{"name":"\u004fTEL_SERVICE_NAME","value":"a"}`: 1,
		`{ "name": "OTEL_SERVICE_NAME", "value": "a"}`:  1,
		`{"value":"a","name":"OTEL_SERVICE_NAME"}`:      1,
		`{"name":"PATH","value":"OTEL_SERVICE_NAME"}`:   0,
		`{"name":"PATH","value":"\u004f"}`:              0,
		`{"name":"OTHER","value":"a"}`:                  0,
		`{"name":"","value":"a"}`:                       0,
	} {
		pod, err := decode([]byte(`{"spec":{"containers":[{"name":"a","env":[` + element + `]}]}}`))
		if err != nil || len(pod.Spec.Containers[0].Env.known) != want {
			t.Errorf("%s: %+v, %v", element, pod.Spec.Containers[0].Env.known, err)
		}
	}
}

func TestDecode_BrokenEnv(t *testing.T) {
	for _, env := range []string{`{}`, `"a"`, `[1`, `[{"name":"OTEL_A","value":1}]`, `[{"name":"OTEL_A"}`, `7`} {
		if _, err := decode([]byte(`{"spec":{"containers":[{"name":"a","env":` + env + `}]}}`)); err == nil {
			t.Errorf("%s is accepted", env)
		}
	}
}
