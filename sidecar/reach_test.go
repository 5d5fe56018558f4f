package sidecar_test

import (
	"bytes"
	"debug/elf"
	"testing"
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

// Templates call methods by name, so a program that can reach them keeps every
// exported method of every type: megabytes that no sidecar needs.
func TestTemplatesAreUnreachable(t *testing.T) {
	t.Parallel()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	table := functions(t, path)
	if !bytes.Contains(table, []byte("net/http.(*Server).Serve")) {
		t.Fatal("the table of functions cannot be read")
	}
	for _, pkg := range []string{"html/template.", "text/template."} {
		if i := bytes.Index(table, []byte(pkg)); i >= 0 {
			t.Errorf("%s is reachable: %q", pkg, bytes.SplitN(table[i:], []byte{0}, 2)[0])
		}
	}
}

// The check sees what it looks for where it is: in the stock collector.
func TestTemplatesAreReachableInTheStockCollector(t *testing.T) {
	t.Parallel()
	if !bytes.Contains(functions(t, provided(t, "NOVAWIRE_STOCK_COLLECTOR", "stock_collector")), []byte("html/template.(*Template).Execute")) {
		t.Error("html/template is not found where it is linked")
	}
}
