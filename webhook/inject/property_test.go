package inject

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

// mayChange reports whether a patch may change a path. Everything else of the input
// must be in the output, including fields that no present API has.
func mayChange(path string) bool {
	for _, prefix := range []string{
		"/metadata/labels/logging", "/metadata/labels/nova.dev/metrics",
		"/metadata/annotations/prometheus.io/", "/metadata/annotations/inject.nova.dev/status",
		"/metadata/annotations/nova.dev/metrics-endpoint",
	} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// check wires a pod and fails if the patch changes what it must not, or if a second
// run changes anything.
func check(t testing.TB, engine *Engine, pod []byte) {
	t.Helper()
	ns := Namespace{Name: "nova"}
	result, err := engine.Pod(pod, ns)
	if err != nil {
		return // not a pod
	}
	wired := apply(t, pod, result.Patch)
	before, after := tree(t, pod), tree(t, wired)
	survives(t, "", before, after)
	again, err := engine.Pod(wired, ns)
	if err != nil {
		t.Fatalf("the wired pod is not a pod: %v", err)
	}
	if again.Patch != nil {
		t.Errorf("the second run changes something: %s\npod: %s", again.Patch, pod)
	}
	repeated, _ := engine.Pod(pod, ns)
	if string(repeated.Patch) != string(result.Patch) {
		t.Errorf("two runs differ:\n%s\n%s", result.Patch, repeated.Patch)
	}
}

// survives fails unless everything in before is also in after. It compares objects
// by key, lists of named objects by name, and other values exactly.
func survives(t testing.TB, path string, before, after any) {
	t.Helper()
	if mayChange(path) {
		return
	}
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok {
			t.Errorf("%s: is missing", path)
			return
		}
		if name, _ := b["name"].(string); strings.HasPrefix(name, "OTEL_") && strings.Contains(path, "/env/") {
			return // the merge has its own test
		}
		for key, value := range b {
			survives(t, path+"/"+key, value, a[key])
		}
	case []any:
		a, _ := after.([]any)
		rest := a
		for _, value := range b {
			i := find(rest, value)
			if i < 0 {
				t.Errorf("%s: %v is missing or has moved", path, value)
				return
			}
			survives(t, path+"/"+nameOf(value), value, rest[i])
			rest = rest[i+1:]
		}
	default:
		if before != nil && !cmp.Equal(before, after) {
			t.Errorf("%s: %v became %v", path, before, after)
		}
	}
}

func find(list []any, value any) int {
	for i, candidate := range list {
		if name := nameOf(value); name != "" && name == nameOf(candidate) || cmp.Equal(value, candidate) {
			return i
		}
	}
	return -1
}

func nameOf(value any) string {
	object, _ := value.(map[string]any)
	name, _ := object["name"].(string)
	return name
}

func tree(t testing.TB, raw []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// future is a pod with fields that k8s.io/api does not have and numbers that do not
// fit into a float64. Re-marshalling would lose them.
const future = `{"apiVersion":"v1","kind":"Pod","fromTheFuture":{"a":[1,2]},
"metadata":{"name":"p","labels":{"a":"b"},"generation2":9007199254740993,"annotations":{"x":"y"}},
"spec":{"quantum":true,"restartPolicyRules":[{"action":"Restart"}],"big":123456789012345678901234567890.50,
"initContainers":[{"name":"init","image":"i","restartPolicyRules":[{"exitCodes":{"operator":"In","values":[42]}}],"env":[{"name":"A","value":"1","sealed":{"by":"x"}}]}],
"containers":[{"name":"app","image":"i","entangled":["a",null,1e400],
"env":[{"name":"OTEL_RESOURCE_ATTRIBUTES","value":"team=a","fromTheFuture":1},{"name":"B","valueFrom":{"fileKeyRef":{"path":"p","key":"k"},"vaultRef":{"x":1}}}]}]}}`

func TestEngine_Pod_KeepsUnknownFields(t *testing.T) {
	engine, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	check(t, engine, []byte(future))
	result, err := engine.Pod([]byte(future), Namespace{Name: "nova"})
	if err != nil {
		t.Fatal(err)
	}
	wired := string(apply(t, []byte(future), result.Patch))
	for _, verbatim := range []string{"123456789012345678901234567890.50", "9007199254740993", "1e400", `"vaultRef":{"x":1}`, `"fromTheFuture":1`} {
		if !strings.Contains(wired, verbatim) {
			t.Errorf("%s is missing from %s", verbatim, wired)
		}
	}
}

func TestEngine_Pod_ChangesNothingElse(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "stale") {
			continue // values of an earlier wiring may be removed
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pod, err := yaml.YAMLToJSON(section(archive, "pod.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			check(t, engineOf(t, archive), pod)
		})
	}
}

func FuzzEngine_Pod(f *testing.F) {
	f.Add([]byte(future))
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if pod, err := yaml.YAMLToJSON(section(txtar.Parse(data), "pod.yaml")); err == nil {
			f.Add(pod)
		}
	}
	config := DefaultConfig()
	config.Gateway.GRPCEndpoint = "http://gateway:4317"
	engine, err := New(config)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, pod []byte) {
		var object struct {
			Metadata map[string]json.RawMessage `json:"metadata"`
			Spec     map[string]json.RawMessage `json:"spec"`
		}
		if json.Unmarshal(pod, &object) != nil || object.Spec == nil {
			return // the API server always sends objects
		}
		result, err := engine.Pod(pod, Namespace{Name: "nova"})
		if err != nil || result.Patch == nil {
			return
		}
		if !json.Valid(result.Patch) {
			t.Fatalf("the patch is no JSON: %s", result.Patch)
		}
	})
}
