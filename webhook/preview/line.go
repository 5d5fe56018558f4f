package preview

import (
	"bytes"
	"errors"
	"slices"

	yamlnode "go.yaml.in/yaml/v3"
)

// valueError is a mistake in one value of an object.
type valueError struct {
	path []string // of the value in the object
	error
}

// Unwrap returns the mistake.
func (e *valueError) Unwrap() error { return e.error }

// position returns the line in the file where the object begins.
func (o *object) position() int {
	if o.line == 0 { // an item of a List in YAML
		o.line = o.at()
	}
	return o.line
}

// at returns the line in the file of a value of the object. Of a value that is not
// there it is the line of what should have it.
func (o *object) at(path ...string) int {
	d := o.document
	switch {
	case d.generated:
		return d.line
	case d.json:
		offset, _, _ := lookup(o.raw, path)
		return d.line + bytes.Count(d.text[:o.offset+offset], []byte("\n"))
	}
	tree, err := d.tree()
	if err != nil || len(tree.Content) == 0 {
		return d.line
	}
	y := tree.Content[0]
	line := y.Line
	for _, key := range slices.Concat(o.path, path) {
		if y, _ = yamlChild(y, key); y == nil {
			break
		}
		line = y.Line
	}
	return d.line + line - 1
}

// tree returns the nodes of a YAML document's text. They are kept until the document
// is wired.
func (d *Document) tree() (*yamlnode.Node, error) {
	if d.nodes == nil {
		var root yamlnode.Node
		if err := yamlnode.Unmarshal(d.text, &root); err != nil {
			return nil, err
		}
		d.nodes = &root
	}
	return d.nodes, nil
}

// fail adds a mistake of an object, with the line of the value that it is about.
func (o *object) fail(err error) {
	var wrong *valueError
	if errors.As(err, &wrong) {
		o.document.fail(o.at(wrong.path...), err)
		return
	}
	o.document.fail(o.position(), err)
}
