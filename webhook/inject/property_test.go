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

// owned are the paths that a patch may touch; everything else of the input is
// found again in the output, also fields that no API of today knows.
func owned(path string) bool {
	for _, prefix := range []string{
		"/metadata/labels/logging", "/metadata/labels/nova.dev/metrics",
		"/metadata/annotations/prometheus.io/", "/metadata/annotations/inject.nova.dev/status",
	} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// check applies a patch and tells what it did that it may not.
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

// survives compares what was there before with what is there now: objects by
// key, lists of named objects by name, other values octet for octet.
func survives(t testing.TB, path string, before, after any) {
	t.Helper()
	if owned(path) {
		return
	}
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok {
			t.Errorf("%s: is gone", path)
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
				t.Errorf("%s: %v is gone or has another place", path, value)
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

// A pod from the future: fields that k8s.io/api does not know, numbers that no
// float holds, and names that a re-marshalled pod would lose.
const future = `{"apiVersion":"v1","kind":"Pod","fromTheFuture":{"a":[1,2]},
"metadata":{"name":"p","labels":{"a":"b"},"generation2":9007199254740993,"annotations":{"x":"y"}},
"spec":{"quantum":true,"restartPolicyRules":[{"action":"Restart"}],"big":123456789012345678901234567890.50,
"initContainers":[{"name":"init","image":"i","restartPolicyRules":[{"exitCodes":{"operator":"In","values":[42]}}],"env":[{"name":"A","value":"1","sealed":{"by":"x"}}]}],
"containers":[{"name":"app","image":"i","entangled":["a",null,1e400],
"env":[{"name":"OTEL_RESOURCE_ATTRIBUTES","value":"team=a","fromTheFuture":1},{"name":"B","valueFrom":{"fileKeyRef":{"path":"p","key":"k"},"vaultRef":{"x":1}}}]}]}}`

func TestFieldsOfTheFutureSurvive(t *testing.T) {
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
			t.Errorf("%s is gone from %s", verbatim, wired)
		}
	}
}

func TestEverythingElseSurvives(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "stale") {
			continue // what an older wiring set may go
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

func FuzzPod(f *testing.F) {
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
			return // an API server sends objects
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
