package charts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// notCopied are manifests that the chart writes as templates of its own, or not at
// all.
var notCopied = []string{"kustomization.yaml", "deployment.yaml", "namespace.yaml", "availability.yaml"}

// TestCopies keeps the chart's copies of manifests/base and manifests/components
// equal to their sources.
func TestCopies(t *testing.T) {
	sources, copies := tree(t, "../manifests", "base", "components"), tree(t, chart+"/files", "base", "components")
	for name, text := range sources {
		if !bytes.Equal(text, copies[name]) {
			write(t, filepath.Join(chart, "files", name), text)
		}
	}
	for name := range copies {
		if _, ok := sources[name]; !ok {
			write(t, filepath.Join(chart, "files", name), nil)
		}
	}
}

// write rewrites a generated file, or reports that it is out of date. No text
// removes it.
func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if !*update {
		t.Errorf("%s is out of date; run: go test ./charts -update", file)
		return
	}
	if text == nil {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree returns the YAML files below the folders of root that the chart copies.
func tree(t *testing.T, root string, folders ...string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" || slices.Contains(notCopied, entry.Name()) ||
				filepath.Base(filepath.Dir(path)) == "cronjobs" || strings.HasPrefix(entry.Name(), "external-secret") {
				if os.IsNotExist(err) {
					return nil
				}
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			files[name], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// schema is what this test reads of a JSON schema.
type schema struct {
	Type        string             `json:"type"`
	Description string             `json:"description"`
	Default     any                `json:"default"`
	Enum        []string           `json:"enum"`
	Properties  map[string]*schema `json:"properties"`
}

func valuesSchema(t *testing.T) *schema {
	t.Helper()
	var s schema
	if err := json.Unmarshal([]byte(read(t, chart+"/values.schema.json")), &s); err != nil {
		t.Fatal(err)
	}
	delete(s.Properties, "global") // Helm's own
	return &s
}

// TestValues compares values.yaml with the defaults of the schema.
func TestValues(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, chart+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(valuesSchema(t)), any(values)); diff != "" {
		t.Errorf("the defaults of values.schema.json (-) and values.yaml (+) differ:\n%s", diff)
	}
}

func defaults(s *schema) any {
	if s.Properties == nil {
		return s.Default
	}
	values := map[string]any{}
	for name, property := range s.Properties {
		values[name] = defaults(property)
	}
	return values
}

const startTable, endTable = "<!-- values -->\n", "<!-- end -->"

// TestReadme keeps the table of values equal to the schema.
func TestReadme(t *testing.T) {
	file := chart + "/README.md"
	text := read(t, file)
	before, rest, ok := strings.Cut(text, startTable)
	_, after, ok2 := strings.Cut(rest, endTable)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of values", file)
	}
	table := "| value | default | allowed | meaning |\n|---|---|---|---|\n" + strings.Join(rows("", valuesSchema(t)), "")
	if want := before + startTable + table + endTable + after; want != text {
		write(t, file, []byte(want))
	}
}

// rows returns a table row for each leaf, in the order of names.
func rows(path string, s *schema) (lines []string) {
	if s.Properties == nil {
		allowed := s.Type
		if len(s.Enum) > 0 {
			allowed = "`" + strings.Join(s.Enum, "`, `") + "`"
		}
		standard, _ := json.Marshal(s.Default)
		return []string{fmt.Sprintf("| `%s` | `%s` | %s | %s |\n", path, standard, allowed, s.Description)}
	}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, rows(strings.TrimPrefix(path+"."+name, "."), s.Properties[name])...)
	}
	return lines
}
