package preview

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/webhook/inject"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"a: 1":                         {"a: 1"},
		"a: 1\n---\nb: 2":              {"a: 1\n", "b: 2"},
		"---\na: 1\n--- # x\nb: 2\n":   {"", "a: 1\n", "b: 2\n"},
		"a: |\n  x\n----\nb: 2":        {"a: |\n  x\n----\nb: 2"}, // no marker
		"a: 1\r\n---\r\nb: 2":          {"a: 1\r\n", "b: 2"},
		"--- {a: 1}":                   {"", "{a: 1}"},
		"a: 1\n...\nb: 2\n":            {"a: 1\n", "b: 2\n"},
		"a: 1\n... # end\n# x\nb: 2\n": {"a: 1\n", "b: 2\n"},
		"a: 1\n...\n---\nb: 2\n...\n":  {"a: 1\n", "b: 2\n"},
		"%YAML 1.2\n---\na: 1\n":       {"a: 1\n"},
		`{"a":1}{"b":2}`:               {`{"a":1}`, `{"b":2}`},
		"{\"a\":1}\n{\"b\":2}\n":       {`{"a":1}`, "{\"b\":2}\n"},
		"{\"a\":1}\n{\"b\":":           {`{"a":1}`, "{\"b\":"},
		"{a: 1}\n":                     {"{a: 1}\n"},
		"{\"a\": b}\n":                 {"{\"a\": b}\n"},
	} {
		var got []string
		for _, p := range split([]byte(text)) {
			got = append(got, string(p.text))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func newEngine(t testing.TB) *inject.Engine {
	t.Helper()
	engine, err := inject.New(inject.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// wireText previews a text and returns what it prints as YAML.
func wireText(t testing.TB, text string) (string, []*Document, []Object, error) {
	t.Helper()
	documents, err := Read([]string{"-"}, strings.NewReader(text))
	if err != nil {
		return "", documents, nil, err
	}
	documents, objects, err := Wire(documents, Options{Engine: newEngine(t), Namespace: "nova"})
	if err != nil {
		return "", documents, objects, err
	}
	var out bytes.Buffer
	if err := WriteYAML(&out, documents); err != nil {
		t.Fatal(err)
	}
	return out.String(), documents, objects, nil
}

// TestWire_KeepsText runs each case of testdata/text: "in" is the input, "out" the
// output. Every line of the input must be in the output, in order, except those with
// a changed value.
func TestWire_KeepsText(t *testing.T) {
	files, err := filepath.Glob("testdata/text/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := string(archive.Files[0].Data)
			comment := string(archive.Comment)
			if strings.Contains(comment, "CRLF") {
				in = strings.ReplaceAll(in, "\n", "\r\n")
			}
			if strings.Contains(comment, "no final newline") {
				in = strings.TrimRight(in, "\n")
			}
			out, documents, _, err := wireText(t, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range documents {
				if d.rewritten && !strings.Contains(comment, "rewritten") {
					t.Error("the document is rewritten")
				}
			}
			if strings.Contains(comment, "CRLF") && strings.Count(out, "\n") != strings.Count(out, "\r\n") {
				t.Error("line endings are mixed")
			}
			got := txtar.Format(&txtar.Archive{Comment: archive.Comment, Files: []txtar.File{archive.Files[0], {Name: "out", Data: []byte(strings.ReplaceAll(out, "\r\n", "\n"))}}})
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(got)); diff != "" && !*update {
				t.Errorf("-want +got (go test ./webhook/preview -update rewrites):\n%s", diff)
			}
			if again, _, _, err := wireText(t, out); err != nil || again != out {
				t.Errorf("the second run changes something: %v\n%s", err, cmp.Diff(out, again))
			}
		})
	}
}

func TestWriteDiff(t *testing.T) {
	_, documents, _, err := wireText(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n")
	if err != nil {
		t.Fatal(err)
	}
	var plain, colored bytes.Buffer
	for out, color := range map[*bytes.Buffer]bool{&plain: false, &colored: true} {
		if err := WriteDiff(out, documents, color); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(colored.String(), green+"+") || strings.Contains(plain.String(), "\x1b") {
		t.Errorf("plain:\n%s\ncolored:\n%s", plain.String(), colored.String())
	}
	if stripped := strings.NewReplacer(red, "", green, "", cyan, "", reset, "").Replace(colored.String()); stripped != plain.String() {
		t.Error("the two differ in more than colours")
	}
}

// TestWriteDiff_LineNumbers checks the header of each hunk against its lines.
func TestWriteDiff_LineNumbers(t *testing.T) {
	text, err := os.ReadFile("../../examples/nova.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, documents, _, err := wireText(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteDiff(&out, documents, false); err != nil {
		t.Fatal(err)
	}
	header := regexp.MustCompile(`^@@ -(\d+),?(\d*) \+(\d+),?(\d*) @@`)
	hunks, added := 0, 0
	for line := range strings.Lines(out.String()) {
		switch m := header.FindStringSubmatch(line); {
		case m != nil:
			from, _ := strconv.Atoi(m[1])
			to, _ := strconv.Atoi(m[3])
			if to-from != added {
				t.Errorf("%s: the lines before add %d", strings.TrimSpace(line), added)
			}
			hunks++
		case strings.HasPrefix(line, "--- "):
			added = 0
		case strings.HasPrefix(line, "+++ "):
		case line[0] == '+':
			added++
		case line[0] == '-':
			added--
		}
	}
	if hunks < 10 {
		t.Errorf("%d hunks", hunks)
	}
}

// values returns everything in a stream as JSON values, one per document.
func values(t testing.TB, stream string) (all []any) {
	t.Helper()
	for _, p := range split([]byte(stream)) {
		raw, err := yaml.YAMLToJSON(p.text)
		if err != nil {
			t.Fatal(err)
		}
		value, err := decodeAny(raw)
		if err != nil {
			t.Fatal(err)
		}
		if value != nil {
			all = append(all, value)
		}
	}
	return all
}

// TestWire_FindsTemplates wires each kind with a pod template and names the containers
// that it does not wire. No input stops or hides the next one.
func TestWire_FindsTemplates(t *testing.T) {
	const containers = "containers: [{name: app, image: \"app:1\"}]"
	const template = "template: {spec: {" + containers + "}}"
	object := func(apiVersion, kind, rest string) string {
		return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: a}\n" + rest + "\n"
	}
	for name, c := range map[string]struct {
		in          string
		sidecars    int
		uninspected string
	}{
		"a Rollout":                           {object("argoproj.io/v1alpha1", "Rollout", "spec: {"+template+"}"), 1, ""},
		"a Rollout with workloadRef":          {object("argoproj.io/v1alpha1", "Rollout", "spec: {workloadRef: {kind: Deployment, name: a}}"), 0, ""},
		"a Pod with generateName":             {"apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\nspec: {" + containers + "}\n", 1, ""},
		"items of a PodList without kind":     {"apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n  spec: {" + containers + "}\n", 1, ""},
		"a null item":                         {"apiVersion: v1\nkind: List\nitems: [null, {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {" + containers + "}}]\n", 1, ""},
		"a custom kind that ends in List":     {object("example.com/v1", "AllowList", "items: [a, {b: 1}]"), 0, ""},
		"a custom kind that ends in List (2)": {object("example.com/v1", "AllowList", "items: [{cidr: 10.0.0.0/8}]\nspec: {"+template+"}"), 1, ""},
		"a DeploymentConfig":                  {object("apps.openshift.io/v1", "DeploymentConfig", "spec: {"+template+"}"), 1, ""},
		"a PodTemplate":                       {object("v1", "PodTemplate", template), 1, ""},
		"a CloneSet":                          {object("apps.kruise.io/v1alpha1", "CloneSet", "spec: {"+template+"}"), 1, ""},
		"a ScaledJob":                         {object("keda.sh/v1alpha1", "ScaledJob", "spec: {jobTargetRef: {"+template+"}}"), 1, ""},
		"a JobSet with two jobs":              {object("jobset.x-k8s.io/v1alpha2", "JobSet", "spec: {replicatedJobs: [{name: a, template: {spec: {"+template+"}}}, {name: b, template: {spec: {"+template+"}}}]}"), 2, ""},
		"a Knative Service":                   {object("serving.knative.dev/v1", "Service", "spec: {"+template+"}"), 0, "spec.template"},
		"a CronWorkflow":                      {object("argoproj.io/v1alpha1", "CronWorkflow", "spec: {workflowSpec: {templates: [{name: a, container: {image: b}}]}}"), 0, "spec.workflowSpec.templates.0"},
		"a Prometheus":                        {object("monitoring.coreos.com/v1", "Prometheus", "spec: {"+containers+"}"), 0, "spec"},
		"a ConfigMap with a manifest":         {object("v1", "ConfigMap", "data: {pod.yaml: \"spec: {containers: [{name: a, image: b}]}\"}"), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, documents, objects, err := wireText(t, c.in+"---\n"+object("v1", "ConfigMap", "data: {next: kept}"))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out, "name: novawire-collector"); n != c.sidecars {
				t.Errorf("%d sidecars, want %d:\n%s", n, c.sidecars, out)
			}
			if !strings.Contains(out, "next: kept") {
				t.Error("the next document is missing")
			}
			uninspected := ""
			for _, o := range objects {
				uninspected += o.Uninspected
			}
			if uninspected != c.uninspected {
				t.Errorf("not inspected: %q, want %q", uninspected, c.uninspected)
			}
			var warnings bytes.Buffer
			if WriteWarnings(&warnings, documents, objects); (c.uninspected != "") != strings.Contains(warnings.String(), "not wired") {
				t.Errorf("warnings: %s", &warnings)
			}
		})
	}
}

func TestRead_ReportsEveryMistake(t *testing.T) {
	const good = "apiVersion: v1\nkind: Pod\nmetadata: {name: good}\nspec: {containers: [{name: a, image: a}]}\n"
	for name, c := range map[string]struct{ in, want string }{
		"a JSON document that is cut":       {"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"}\n{\"apiVersion\":", "-:2: not valid YAML: did not find expected node content"},
		"a flow collection that is cut":     {"apiVersion: v1\nkind: Pod\nspec: {a: [", "-:3: not valid YAML: did not find expected node content"},
		"a variable that is a boolean":      {strings.Replace(good, "image: a", "image: a, env: [{name: DEBUG, value: yes}]", 1), `-:4: Pod/good: spec.containers: container a: env DEBUG: value is a boolean and must be text: put the value in quotes`},
		"a variable that is a number":       {strings.Replace(good, "containers: [", "containers: [{name: b}], initContainers: [{name: i, env: [{name: COUNT, value: 1}]}, ", 1), `-:4: Pod/good: spec.initContainers: container i: env COUNT: value is a number and must be text: put the value in quotes`},
		"a label that is a boolean":         {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a: on}}\n", "-:3: Pod/a: metadata.labels.a is a boolean and must be text: put the value in quotes"},
		"labels that are a list":            {"# x\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: []}\n", "-:2: Pod/: metadata: labels and annotations must be mappings of text"},
		"a variable below a comment":        {"# x\n\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: b\n    env:\n    - name: OK\n      value: x\n    - name: DEBUG\n      value: yes\n", "-:13: Pod/a: spec.containers: container b: env DEBUG"},
		"a variable of an item":             {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: d}\n  spec:\n    template:\n      spec:\n        containers:\n        - name: b\n          env:\n          - name: COUNT\n            value: 1\n", "-:16: Deployment/d: spec.template.spec.containers: container b: env COUNT"},
		"a variable in JSON":                {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\n\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[\n{\"name\":\"N\",\n\"value\":1}]}]}}", "-:4: Pod/: spec.containers: container a: env N"},
		"an item without a template":        {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: d}\n", "-:6: Deployment/d: spec.template is missing"},
		"an item of a list in JSON":         {"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n\n{\"apiVersion\":\"apps/v1\",\"kind\":\"Job\"},{\"apiVersion\":\"apps/v1\",\n\"kind\":\"Deployment\",\"metadata\":{\"name\":\"d\"}}]}", "-:3: Deployment/d: spec.template is missing"},
		"an item that is no object":         {"apiVersion: v1\nkind: List\nitems: [a]\n", "-:3: List: item 1 is not an object"},
		"an item without kind":              {"apiVersion: v1\nkind: List\nitems: [{metadata: {name: a}}]\n", "-:3: not a Kubernetes object: apiVersion and kind are required"},
		"a Deployment without a template":   {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n", "-:1: Deployment/a: spec.template is missing"},
		"a document that is a list":         {"- a\n", "-:1: not a Kubernetes object: the document is not a mapping"},
		"a key that is there twice":         {"apiVersion: v1\nkind: Pod\nkind: Pod\n", `-:3: not valid YAML: key "kind" already set in map`},
		"a key that is there twice in JSON": {"{\"apiVersion\":\"v1\",\n\"kind\":\"Pod\",\"kind\":\"Pod\"}", `-:2: not valid YAML: key "kind" already set in map`},
	} {
		t.Run(name, func(t *testing.T) {
			in := c.in
			if !strings.Contains(c.in, "\n{") && c.in[0] != '{' {
				in = strings.TrimSuffix(c.in, "\n") + "\n---\napiVersion: v1\nkind: 7\n"
			}
			_, _, _, err := wireText(t, in)
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if !strings.Contains(lines[0], c.want) {
				t.Errorf("got  %s\nwant %s", lines[0], c.want)
			}
			if in != c.in && (len(lines) != 2 || !strings.HasSuffix(lines[1], "apiVersion and kind are required")) {
				t.Errorf("the mistake of the next document is missing: %q", lines)
			}
			for _, goType := range []string{"map[", "string", "[]", "interface", "int32"} {
				if strings.Contains(err.Error(), goType) {
					t.Errorf("Go type in %q", err)
				}
			}
		})
	}
}

// The input's LimitRanges and ResourceQuotas count in their own namespaces.
func TestWire_Limits(t *testing.T) {
	const pod = "\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: app, namespace: %}\nspec: {containers: [{name: app, image: app}]}\n"
	const maximum = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: small, namespace: first}\nspec: {limits: [{type: Container, max: {memory: 16Mi}}]}\n"
	const quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small}\nspec: {hard: {limits.memory: 16Mi}}\n"
	for name, c := range map[string]struct{ text, want string }{
		"a LimitRange":                  {maximum + strings.ReplaceAll(pod, "%", "first"), "limit-range"},
		"a LimitRange behind the pod":   {strings.ReplaceAll(pod, "%", "first") + "---\n" + maximum, "limit-range"},
		"that of another namespace":     {maximum + strings.ReplaceAll(pod, "%", "second"), ""},
		"a quota of the default one":    {quota + strings.ReplaceAll(pod, "%", "nova"), "resource-quota"},
		"with a Namespace":              {"apiVersion: v1\nkind: Namespace\nmetadata: {name: first, labels: {nova.dev/wiring: enabled}}\n---\n" + maximum + strings.ReplaceAll(pod, "%", "first"), "limit-range"},
		"a custom resource of its name": {strings.Replace(maximum, "v1", "example.com/v1", 1) + strings.ReplaceAll(pod, "%", "first"), ""},
	} {
		out, _, objects, err := wireText(t, c.text)
		if err != nil || len(objects) != 1 {
			t.Fatalf("%s: %v, %d objects", name, err, len(objects))
		}
		got := ""
		for _, n := range objects[0].Result.Notes {
			if n.Reason == inject.RefusedByLimitRange || n.Reason == inject.RefusedByQuota {
				got = string(n.Reason)
			}
		}
		if got != c.want || strings.Contains(out, "novawire-collector") != (c.want == "") {
			t.Errorf("%s: %q, want %q:\n%s", name, got, c.want, out)
		}
	}
	_, _, _, err := wireText(t, strings.Replace(maximum, "[{type: Container, max: {memory: 16Mi}}]", "nothing", 1)+strings.ReplaceAll(pod, "%", "first"))
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "namespace first: LimitRange/small") {
		t.Errorf("an unreadable LimitRange: %v", err)
	}
}
