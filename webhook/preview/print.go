package preview

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// WriteYAML prints the documents; those that were not changed as they came.
func WriteYAML(w io.Writer, documents []*Document) error {
	separator := false
	for _, d := range documents {
		if len(bytes.TrimSpace(d.text)) == 0 {
			continue
		}
		text, err := d.yaml()
		if err != nil {
			return err
		}
		if separator {
			text = append([]byte("---\n"), text...)
		}
		if !bytes.HasSuffix(text, []byte("\n")) {
			text = append(text, '\n')
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		separator = true
	}
	return nil
}

// WriteJSON prints the one object that there is or, of several, a List.
func WriteJSON(w io.Writer, documents []*Document) error {
	var items []json.RawMessage
	for _, d := range documents {
		if d.node == nil {
			continue
		}
		text, err := d.yaml()
		if err != nil {
			return err
		}
		item, err := yaml.YAMLToJSON(text)
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	var value any = map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	if len(items) == 1 {
		value = items[0]
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// WriteDiff prints what the wiring changes, as a unified diff; with colours for
// a terminal.
func WriteDiff(w io.Writer, documents []*Document, colour bool) error {
	for _, d := range documents {
		if !d.changed && !d.made {
			continue
		}
		old, err := d.before()
		if err != nil {
			return err
		}
		wired, err := encode(d.node)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s:%d", d.file, d.index)
		text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
			A: difflib.SplitLines(string(old)), B: difflib.SplitLines(string(wired)),
			FromFile: name, ToFile: name + " wired", Context: 3,
		})
		if err != nil {
			return err
		}
		if colour {
			text = colourDiff(text)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// before is the document as it came, in the style in which it is compared.
func (d *Document) before() ([]byte, error) {
	if d.made {
		return nil, nil
	}
	before := &Document{text: d.text}
	if err := before.parse(); err != nil {
		return nil, err
	}
	return encode(before.node)
}

func (d *Document) yaml() ([]byte, error) {
	if !d.changed {
		return d.text, nil
	}
	return encode(d.node)
}

func encode(node *yamlnode.Node) ([]byte, error) {
	if node.Content[0].Style&yamlnode.FlowStyle != 0 { // a JSON file
		blockStyle(node)
	}
	var b bytes.Buffer
	encoder := yamlnode.NewEncoder(&b)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	if err := encoder.Encode(node); err != nil {
		return nil, err
	}
	return b.Bytes(), encoder.Close()
}

const (
	red, green, cyan, reset = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[0m"
)

func colourDiff(text string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		colour := ""
		switch {
		case strings.HasPrefix(line, "+"):
			colour = green
		case strings.HasPrefix(line, "-"):
			colour = red
		case strings.HasPrefix(line, "@"):
			colour = cyan
		}
		if colour == "" {
			b.WriteString(line)
			continue
		}
		b.WriteString(colour + strings.TrimSuffix(line, "\n") + reset + "\n")
	}
	return b.String()
}
