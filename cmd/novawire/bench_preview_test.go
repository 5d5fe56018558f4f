package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/testing/bench"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/preview"
)

// previewVariable makes the test program run "novawire preview" with its value as
// arguments, so that a benchmark can measure the memory of one run.
const previewVariable = "NOVAWIRE_BENCH_PREVIEW"

func benchPreview(arguments string) int {
	if err := run(context.Background(), append([]string{"preview"}, strings.Fields(arguments)...), os.Stdin, io.Discard, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return commandline.ExitCode(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return commandline.ExitProblem
	}
	for line := range strings.Lines(string(status)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok { // the largest resident size of this process
			fmt.Println(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
		}
	}
	return 0
}

// manifests returns n documents: a third each are Deployments, Services and
// ConfigMaps with a script. 1,131 of them have 5 MB.
func manifestsOfSize(n int) (documents []string) {
	for i := range n {
		var b strings.Builder
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: svc-%[1]d\n  labels: {app: svc-%[1]d}\nspec:\n  replicas: 2\n  selector:\n    matchLabels: {app: svc-%[1]d}\n"+
				"  template:\n    metadata:\n      labels: {app: svc-%[1]d}\n    spec:\n      containers:\n      - name: app\n        image: ghcr.io/nova/svc:%[1]d\n"+
				"        ports:\n        - {name: http, containerPort: 8080}\n        - {name: metrics, containerPort: 9090}\n        env:\n", i)
			for k := range 20 {
				fmt.Fprintf(&b, "        - name: SETTING_%d\n          value: \"some value %d of this service\"\n", k, k)
			}
			b.WriteString("        readinessProbe:\n          httpGet: {path: /ready, port: http}\n        resources:\n          requests: {cpu: 100m, memory: 128Mi}\n          limits: {memory: 256Mi}\n")
		case 1:
			fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata:\n  name: svc-%d\n  annotations:\n", i)
			for k := range 42 {
				fmt.Fprintf(&b, "    example.com/note-%d: a note of some length about nothing in particular\n", k)
			}
			b.WriteString("spec:\n  ports:\n  - {name: http, port: 80, targetPort: http}\n")
		default:
			fmt.Fprintf(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: config-%d\ndata:\n  script.sh: |\n", i)
			for k := range 150 {
				fmt.Fprintf(&b, "    echo line %d of a script that is quoted literally\n", k)
			}
		}
		documents = append(documents, b.String())
	}
	return documents
}

// listOf returns a JSON List of documents, as kubectl get -o json prints it.
func listOf(b *testing.B, documents []string) []byte {
	b.Helper()
	items := make([]json.RawMessage, len(documents))
	for i, d := range documents {
		raw, err := yaml.YAMLToJSON([]byte(d))
		if err != nil {
			b.Fatal(err)
		}
		items[i] = raw
	}
	list, err := json.MarshalIndent(map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, "", "    ")
	if err != nil {
		b.Fatal(err)
	}
	return list
}

// BenchmarkPreview compares a preview with the usual decode and encode: each document
// is decoded, its template patched, and the whole encoded again. The bounds of time
// and memory are those of a run of the program on 5 MB.
func BenchmarkPreview(b *testing.B) {
	if !bench.Selected("preview/documents") && !bench.Selected("preview/list") {
		b.Skip("run it with: make bench BENCH=preview")
	}
	engine, err := inject.New(inject.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	documents := manifestsOfSize(1131)
	stream := []byte(strings.Join(documents, "---\n"))
	list := listOf(b, documents[:820])
	ours := func(text []byte) func() {
		return func() {
			read, err := preview.Read([]string{"-"}, bytes.NewReader(text))
			if err != nil {
				b.Fatal(err)
			}
			wired, _, err := preview.Wire(read, preview.Options{Engine: engine, Namespace: "nova"})
			if err != nil {
				b.Fatal(err)
			}
			if err := preview.WriteYAML(io.Discard, wired); err != nil {
				b.Fatal(err)
			}
		}
	}
	bench.Compare(b, "preview/documents", ours(stream), func() {
		for d := range bytes.SplitSeq(stream, []byte("---\n")) {
			var object map[string]any
			if err := yaml.Unmarshal(d, &object); err != nil {
				b.Fatal(err)
			}
			patchObject(b, engine, object)
			if _, err := yaml.Marshal(object); err != nil {
				b.Fatal(err)
			}
		}
	})
	bench.Compare(b, "preview/list", ours(list), func() {
		var object struct {
			APIVersion, Kind string
			Items            []map[string]any
		}
		if err := json.Unmarshal(list, &object); err != nil {
			b.Fatal(err)
		}
		for _, item := range object.Items {
			patchObject(b, engine, item)
		}
		if _, err := yaml.Marshal(object); err != nil {
			b.Fatal(err)
		}
	})
	folder := b.TempDir()
	for name, text := range map[string][]byte{"documents.yaml": stream, "list.json": list} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			b.Fatal(err)
		}
		kind, _, _ := strings.Cut(name, ".")
		for _, output := range []string{"yaml", "json", "diff"} {
			used, cpu := previewRun(b, "-o "+output+" "+filepath.Join(folder, name))
			bound := time.Second
			if output == "diff" {
				bound = 2 * time.Second
			}
			bench.Line("preview/"+kind+"-"+output+"-cpu", cpu.Round(time.Millisecond).String(), bound.String(), bound.Seconds()/cpu.Seconds())
			bench.Line("preview/"+kind+"-"+output+"-memory", fmt.Sprintf("%.1fMiB", float64(used)/(1<<20)), "100MB", 1e8/float64(used))
		}
	}
}

func patchObject(b *testing.B, engine *inject.Engine, object map[string]any) {
	b.Helper()
	if object["kind"] != "Deployment" {
		return
	}
	spec := object["spec"].(map[string]any)
	raw, err := json.Marshal(spec["template"])
	if err != nil {
		b.Fatal(err)
	}
	name, _ := object["metadata"].(map[string]any)["name"].(string)
	result, err := engine.Template(raw, inject.Namespace{Name: "nova"}, workload.Owner{Kind: "Deployment", Name: name})
	if err != nil {
		b.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(result.Patch)
	if err != nil {
		b.Fatal(err)
	}
	if raw, err = patch.Apply(raw); err != nil {
		b.Fatal(err)
	}
	var template map[string]any
	if err := json.Unmarshal(raw, &template); err != nil {
		b.Fatal(err)
	}
	spec["template"] = template
}

// previewRun runs a preview in a process of its own and returns its largest memory, in
// bytes, and its processor time.
func previewRun(b *testing.B, arguments string) (memory int64, cpu time.Duration) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	process := exec.Command(self)
	process.Env = append(os.Environ(), previewVariable+"="+arguments)
	process.Stderr = os.Stderr
	output, err := process.Output()
	if err != nil {
		b.Fatal(err)
	}
	kilobytes, err := strconv.ParseInt(strings.TrimSpace(string(output)), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kilobytes << 10, process.ProcessState.UserTime() + process.ProcessState.SystemTime()
}
