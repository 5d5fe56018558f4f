package sidecar_test

import (
	"bytes"
	"debug/elf"
	"testing"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// functions is the table in which the runtime finds the name of every function
// that the linker kept; it is in stripped programs too.
func functions(t *testing.T, path string) []byte {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	table, err := file.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// executing is what runs a template. It calls methods by name, so a program that
// can reach it keeps every exported method of every type: megabytes that no
// sidecar needs. Parsing does not; upstream's service package parses some when
// it is initialised, see docs/adr/0702.
var executing = []string{"html/template.(*Template).Execute", "html/template.(*escaper)", "text/template.(*Template).Execute", "text/template.(*state).evalField"}

func TestTemplates_Unreachable(t *testing.T) {
	t.Parallel()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	table := functions(t, path)
	if !bytes.Contains(table, []byte("net/http.(*Server).Serve")) {
		t.Fatal("the table of functions cannot be read")
	}
	for _, name := range executing {
		if bytes.Contains(table, []byte(name)) {
			t.Errorf("%s is reachable", name)
		}
	}
}

// The check sees what it looks for where it is: in the stock collector.
func TestTemplates_ReachableInStock(t *testing.T) {
	t.Parallel()
	table := functions(t, prerequisite.Path(t, "NOVAWIRE_STOCK_COLLECTOR", "stock_collector"))
	for _, name := range executing {
		if !bytes.Contains(table, []byte(name)) {
			t.Errorf("%s is not found where it is linked", name)
		}
	}
}
