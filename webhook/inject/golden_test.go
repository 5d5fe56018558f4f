package inject

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestEngine_Pod runs the cases in testdata. The comment of a file says what the case
// proves. config.yaml, namespace.yaml and limits.yaml are optional; pod.yaml is the input,
// notes.txt the decision and wired.yaml the output. A second run on the output must
// change nothing.
func TestEngine_Pod(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			golden(t, file)
		})
	}
}

func golden(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	engine, ns := engineOf(t, archive), namespaceOf(t, archive)
	pod, err := yaml.YAMLToJSON(section(archive, "pod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := engine.Pod(pod, ns)
	if err != nil {
		t.Fatal(err)
	}
	wired := apply(t, pod, result.Patch)
	setSection(archive, "notes.txt", notesText(result))
	setSection(archive, "wired.yaml", yamlText(t, wired))
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(txtar.Format(want)), string(txtar.Format(archive))); diff != "" {
		t.Errorf("-want +got (go test ./webhook/inject -update rewrites):\n%s", diff)
	}
	again, err := engine.Pod(wired, ns)
	if err != nil {
		t.Fatal(err)
	}
	if again.Patch != nil {
		t.Errorf("the second run changes something: %s", again.Patch)
	}
}

func engineOf(t *testing.T, archive *txtar.Archive) *Engine {
	t.Helper()
	config := DefaultConfig()
	config.ClusterName, config.DeploymentEnvironment = "nova-prod", "production"
	if err := yaml.UnmarshalStrict(section(archive, "config.yaml"), &config); err != nil {
		t.Fatal(err)
	}
	engine, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

func namespaceOf(t *testing.T, archive *txtar.Archive) Namespace {
	t.Helper()
	ns := Namespace{Name: "nova"}
	if err := yaml.UnmarshalStrict(section(archive, "namespace.yaml"), &ns.Annotations); err != nil {
		t.Fatal(err)
	}
	ns.Limits = limitsOf(t, string(section(archive, "limits.yaml")))
	return ns
}

// limitsOf returns the limits of LimitRanges and ResourceQuotas in YAML documents.
func limitsOf(t *testing.T, text string) *Limits {
	t.Helper()
	objects := map[string][]byte{}
	for i, document := range strings.Split(text, "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var object struct{ Kind string }
		raw, err := yaml.YAMLToJSON([]byte(document))
		if err == nil {
			err = json.Unmarshal(raw, &object)
		}
		if err != nil {
			t.Fatal(err)
		}
		objects[fmt.Sprintf("%s/%d", object.Kind, i)] = raw
	}
	limits, err := ParseLimits(objects)
	if err != nil {
		t.Fatal(err)
	}
	return limits
}

func section(archive *txtar.Archive, name string) []byte {
	for _, f := range archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func setSection(archive *txtar.Archive, name string, data []byte) {
	for i := range archive.Files {
		if archive.Files[i].Name == name {
			archive.Files[i].Data = data
			return
		}
	}
	archive.Files = append(archive.Files, txtar.File{Name: name, Data: data})
}

func notesText(r Result) []byte {
	var b bytes.Buffer
	b.WriteString(string(r.Action) + ": " + string(r.Reason) + "\n")
	for _, n := range r.Notes {
		b.WriteString(string(n.Reason) + ": " + n.String() + "\n")
	}
	return b.Bytes()
}

func yamlText(t *testing.T, pod []byte) []byte {
	t.Helper()
	text, err := yaml.JSONToYAML(pod)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// apply applies a patch like the API server.
func apply(t testing.TB, pod, patch []byte) []byte {
	t.Helper()
	if patch == nil {
		return pod
	}
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatalf("read patch %s: %v", patch, err)
	}
	patched, err := operations.Apply(pod)
	if err != nil {
		t.Fatalf("apply patch %s to %s: %v", patch, pod, err)
	}
	if !json.Valid(patched) {
		t.Fatalf("the patched pod is not JSON: %s", patched)
	}
	return patched
}
