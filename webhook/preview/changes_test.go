package preview

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

// scalars returns YAML scalars in all styles, with blanks, comments and indentation in
// odd places.
func scalars(random *rand.Rand) string {
	line := func() string {
		return []string{"a", "  b", "", " c: d", "# e", "\"f", "- g", "    h", "i ", "\tj", "é"}[random.IntN(11)]
	}
	switch random.IntN(6) {
	case 0:
		return "plain text"
	case 1:
		return "'it''s\n          quoted'"
	case 2:
		return "\"a \\\"b\\\"\\n # c\""
	case 3:
		return "two\n          lines"
	}
	header := []string{"|", ">", "|-", ">-", "|+", ">+"}[random.IntN(6)]
	text := header + "\n"
	if random.IntN(4) > 0 {
		text += "          first\n"
	}
	for range random.IntN(6) {
		if l := line(); l == "" {
			text += "\n"
		} else {
			text += "          " + l + "\n"
		}
	}
	return strings.TrimSuffix(text, "\n")
}

// TestWire_ChangesNoValue wires Pods with random scalars in every place next to a
// change. What is printed must have the values of the input and those of the patch.
func TestWire_ChangesNoValue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tried, rewritten := 0, 0
	for range 500 {
		in := "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    text: " + scalars(random) +
			"\nspec:\n  containers:\n    - name: app\n      args:\n        - " + scalars(random) + "\n        - " + scalars(random) +
			"\n      env:\n        - name: A\n          value: " + scalars(random)
		if random.IntN(2) == 0 {
			in += "\n"
		}
		if random.IntN(2) == 0 {
			in += "    # comment\n\n  priority: 1\n"
		}
		before, err := yaml.YAMLToJSONStrict([]byte(in))
		if err != nil {
			continue // not every combination is YAML
		}
		out, documents, _, err := wireText(t, in)
		if err != nil {
			t.Fatalf("%v\n%s", err, in)
		}
		tried++
		if documents[0].rewritten {
			rewritten++
		}
		want, _ := decodeAny(before)
		assertContains(t, in, "", want, values(t, out)[0])
	}
	t.Logf("%d inputs, %d rewritten", tried, rewritten)
	if tried < 200 || rewritten > tried/25 {
		t.Errorf("%d inputs, %d rewritten", tried, rewritten)
	}
}

// assertContains fails unless got has everything of want: mappings by key, lists of
// named objects by name and in order, other lists exactly. Variables of OpenTelemetry
// are merged and have a test of their own.
func assertContains(t testing.TB, in, path string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		if name, _ := w["name"].(string); strings.HasPrefix(name, "OTEL_") && strings.Contains(path, "/env/") && g["name"] == name {
			return
		}
		for key, value := range w {
			if key != "inject.nova.dev/status" {
				assertContains(t, in, path+"/"+key, value, g[key])
			}
		}
	case []any:
		g, _ := got.([]any)
		rest := g
		for i, value := range w {
			rest = rest[max(slices.IndexFunc(rest, func(v any) bool {
				return nameOf(v) == nameOf(value) && (nameOf(v) != "" || reflect.DeepEqual(v, value))
			}), 0):]
			if len(rest) == 0 {
				t.Fatalf("%s: element %d is missing\n%s", path, i, in)
			}
			assertContains(t, in, path+"/"+strconv.Itoa(i), value, rest[0])
			rest = rest[1:]
		}
		if len(rest) > 0 && !strings.HasSuffix(path, "/env") && !strings.HasSuffix(path, "/initContainers") {
			t.Fatalf("%s: %d elements, want %d\n%s", path, len(g), len(w), in)
		}
	default:
		if want != nil && want != got { // null can be filled
			t.Fatalf("%s: %q, want %q\n%s", path, got, want, in)
		}
	}
}

func nameOf(v any) string {
	m, _ := v.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

// everyInput returns texts by name: the project's manifests and examples, the inputs of
// every golden file, and the public manifests if they are beside the project. rewritten
// are those whose text cannot be kept, which preview says.
func everyInput(t *testing.T) (inputs map[string]string, rewritten map[string]bool) {
	t.Helper()
	inputs, rewritten = map[string]string{}, map[string]bool{}
	for _, folder := range []string{"../../examples", "../../manifests", "../../k8s", "../../../shared/corpus", "../../../../shared/corpus"} {
		_ = filepath.WalkDir(folder, func(file string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(file) != ".yaml" {
				return nil //nolint:nilerr // a folder that does not exist has no files
			}
			text, err := os.ReadFile(file)
			inputs[file], rewritten[file] = string(text), bytes.Contains(text, []byte("env: *")) // an alias is another place's too
			return err
		})
	}
	for _, pattern := range []string{"../inject/testdata/*.txtar", "testdata/text/*.txtar", "../../cmd/novawire/testdata/*.txtar"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range archive.Files {
				name := file + "/" + f.Name
				earlier := strings.HasPrefix(filepath.Base(file), "stale") // values of an earlier wiring are removed
				output := slices.Contains([]string{"config.yaml", "namespace.yaml", "wired.yaml", "out", "notes.txt", "stdout", "stderr", "exit"}, f.Name)
				if !output && !earlier {
					inputs[name] = string(f.Data)
					rewritten[name] = bytes.Contains(txtar.Format(archive), []byte("rewritten")) || bytes.Contains(txtar.Format(archive), []byte("formatting of this document are lost"))
				}
			}
		}
	}
	return inputs, rewritten
}

// TestWire_ChangesNothingElse wires every input. Nothing may be missing or changed
// afterwards, and only what says so is rewritten.
func TestWire_ChangesNothingElse(t *testing.T) {
	inputs, rewritten := everyInput(t)
	checked := 0
	for name, in := range inputs {
		t.Run(name, func(t *testing.T) {
			out, documents, _, err := wireText(t, in)
			if err != nil {
				return // it is one of the inputs that are refused
			}
			checked++
			for _, d := range documents {
				if d.rewritten && !rewritten[name] {
					t.Errorf("line %d: rewritten", d.line)
				}
			}
			before, after := values(t, in), values(t, out)
			if len(before) != len(after) {
				t.Fatalf("%d documents, want %d", len(after), len(before))
			}
			for i := range before {
				assertContains(t, in, "", before[i], after[i])
			}
		})
	}
	if checked < 150 {
		t.Errorf("only %d of %d inputs were wired", checked, len(inputs))
	}
}

// FuzzWire wires any text. What can be read must be printed, which includes the check
// that nothing else changes, and a second run must change nothing.
func FuzzWire(f *testing.F) {
	files, _ := filepath.Glob("testdata/text/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(archive.Files[0].Data))
		f.Add(strings.ReplaceAll(string(archive.Files[0].Data), "\n", "\r\n"))
		f.Add(strings.TrimSuffix(string(archive.Files[0].Data), "\n"))
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, _, _, err := wireText(t, in)
		if err != nil {
			if strings.Contains(err.Error(), "please report") {
				t.Fatal(err)
			}
			return // with every mistake named
		}
		if again, _, _, err := wireText(t, out); err != nil || again != out {
			t.Fatalf("the second run changes something: %v\nin: %q\nout: %q\nagain: %q", err, in, out, again)
		}
	})
}
