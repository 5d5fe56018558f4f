package sidecar_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tests that docs/sidecar.md names in its tables of conformance exist.
func TestDocs_ConformanceTable(t *testing.T) {
	text, err := os.ReadFile("../docs/sidecar.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(source)
		}
	}
	tables := strings.Split(string(text), "| section | requirement | level | test |\n|---|---|---|---|\n")
	var lines strings.Builder
	for _, behind := range tables[1:] {
		table, _, _ := strings.Cut(behind, "\n\n")
		lines.WriteString(table + "\n")
	}
	rows := 0
	for line := range strings.Lines(lines.String()) {
		columns := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(columns) != 4 {
			t.Errorf("not a row: %s", line)
			continue
		}
		for name := range strings.SplitSeq(columns[3], ", ") {
			if !strings.Contains(tests.String(), "func "+strings.Trim(name, "`")+"(t *testing.T)") {
				t.Errorf("no test %s: %s", name, line)
			}
		}
		rows++
	}
	if rows < 50 {
		t.Errorf("%d rows: the table is not found", rows)
	}
}
