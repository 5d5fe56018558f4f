package sidecar

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// docs/sidecar.md has the table of the variables.
func TestVariables_Documented(t *testing.T) {
	text, err := os.ReadFile("../../docs/sidecar.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| variable | default | allowed | meaning |\n|---|---|---|---|\n")
	for _, v := range Variables() {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", v.Name, v.Default, v.Allowed, v.Meaning)
	}
	if !strings.Contains(string(text), table.String()) {
		t.Errorf("docs/sidecar.md does not hold this table:\n%s", table.String())
	}
}
