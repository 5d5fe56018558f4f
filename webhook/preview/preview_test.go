package preview

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nova/novawire/webhook/inject"
)

func TestDocumentMarkers(t *testing.T) {
	for text, want := range map[string]int{
		"a: 1":                       1,
		"a: 1\n---\nb: 2":            2,
		"---\na: 1\n--- # x\nb: 2\n": 3, // the first holds nothing
		"a: |\n  x\n----\nb: 2":      1, // no marker
		"a: 1\r\n---\r\nb: 2":        2,
		"--- {a: 1}":                 2,
	} {
		if parts := split([]byte(text)); len(parts) != want {
			t.Errorf("%q has %d parts: %q", text, len(parts), parts)
		}
	}
}

func TestADiffHasColoursForATerminal(t *testing.T) {
	engine, err := inject.New(inject.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	documents, err := Read([]string{"-"}, strings.NewReader("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Wire(documents, Options{Engine: engine, Namespace: "nova"}); err != nil {
		t.Fatal(err)
	}
	var plain, coloured bytes.Buffer
	for out, colour := range map[*bytes.Buffer]bool{&plain: false, &coloured: true} {
		if err := WriteDiff(out, documents, colour); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(coloured.String(), green+"+") || strings.Contains(plain.String(), "\x1b") {
		t.Errorf("plain:\n%s\ncoloured:\n%s", plain.String(), coloured.String())
	}
	if stripped := strings.NewReplacer(red, "", green, "", cyan, "", reset, "").Replace(coloured.String()); stripped != plain.String() {
		t.Error("the two differ in more than colours")
	}
}
