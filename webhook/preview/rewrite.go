package preview

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	jsonpatch "github.com/evanphx/json-patch/v5"
	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// change is the patch of one pod template.
type change struct {
	object   *object
	template template
	patch    []byte
}

// rewrite applies the changes to the document's text, and checks the result: it must
// parse to what came in plus the operations of the patches, and nothing else. If the
// changes cannot be made in place, the document is written anew without its comments.
func (d *Document) rewrite(changes []change) error {
	edits, err := d.edit(changes)
	if err == nil && d.json {
		err = d.checkObjects(changes, edits)
	}
	if err == nil {
		d.wired, err = applyEdits(d.text, edits)
	}
	if err == nil && d.json {
		d.edits = edits
		return nil
	}
	want, wrong := d.expected(changes)
	if wrong != nil {
		return wrong
	}
	if err == nil && d.parsesTo(d.wired, want) {
		d.edits = edits
		return nil
	}
	if d.json {
		d.wired, err = json.MarshalIndent(want, "", "  ")
	} else {
		d.wired, err = yaml.Marshal(want)
	}
	if err != nil {
		return err
	}
	if !d.parsesTo(d.wired, want) {
		return errors.New("the wired document does not parse to the patched object: please report this input")
	}
	d.rewritten = true
	d.edits = udiff.Lines(string(d.text), string(d.wired))
	return nil
}

// applyEdits returns the text after the edits, which must not overlap.
func applyEdits(text []byte, edits []udiff.Edit) ([]byte, error) {
	udiff.SortEdits(edits)
	size := len(text)
	for _, e := range edits {
		size += len(e.New) - (e.End - e.Start)
	}
	result := make([]byte, 0, size)
	last := 0
	for _, e := range edits {
		if e.Start < last || e.End > len(text) {
			return nil, errUnsupported
		}
		result = append(append(result, text[last:e.Start]...), e.New...)
		last = e.End
	}
	return append(result, text[last:]...), nil
}

// checkObjects checks the edits of a JSON document, one object at a time: a List can
// have thousands. Outside of the objects there are no edits.
func (d *Document) checkObjects(changes []change, edits []udiff.Edit) error {
	for len(changes) > 0 {
		o, own := changes[0].object, 1
		for own < len(changes) && changes[own].object == o {
			own++
		}
		end := o.offset + len(o.raw)
		var within []udiff.Edit
		for len(edits) > 0 && edits[0].End <= end {
			within = append(within, udiff.Edit{Start: edits[0].Start - o.offset, End: edits[0].End - o.offset, New: edits[0].New})
			edits = edits[1:]
		}
		text, err := applyEdits(o.raw, within)
		if err != nil {
			return err
		}
		want, err := decodeAny(o.raw)
		if err != nil {
			return err
		}
		if want, err = patched(want, nil, changes[:own]); err != nil {
			return err
		}
		if got, err := decodeAny(text); err != nil || !reflect.DeepEqual(got, want) {
			return errUnsupported
		}
		changes = changes[own:]
	}
	return nil
}

// expected returns the document as a tree with the patches applied, computed without
// its text.
func (d *Document) expected(changes []change) (any, error) {
	root, err := decodeAny(d.raw)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if root, err = patched(root, c.object.path, []change{c}); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// patched returns a tree with the templates below path replaced by patched ones.
func patched(root any, path []string, changes []change) (any, error) {
	for _, c := range changes {
		patch, err := jsonpatch.DecodePatch(c.patch)
		if err != nil {
			return nil, err
		}
		template, err := patch.Apply(c.template.raw)
		if err != nil {
			return nil, fmt.Errorf("apply the patch: %w", err)
		}
		value, err := decodeAny(template)
		if err != nil {
			return nil, err
		}
		if root, err = replaceAt(root, slices.Concat(path, c.template.path), value); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func replaceAt(root any, path []string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch parent := root.(type) {
	case map[string]any:
		child, err := replaceAt(parent[path[0]], path[1:], value)
		parent[path[0]] = child
		return parent, err
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= len(parent) {
			return nil, fmt.Errorf("element %s does not exist", path[0])
		}
		child, err := replaceAt(parent[i], path[1:], value)
		parent[i] = child
		return parent, err
	}
	return nil, fmt.Errorf("%s does not exist", path[0])
}

func (d *Document) parseAny(text []byte) (any, error) {
	raw := text
	if !d.json {
		var err error
		if raw, err = yaml.YAMLToJSONStrict(text); err != nil {
			return nil, err
		}
	}
	return decodeAny(raw)
}

func decodeAny(raw []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

func (d *Document) parsesTo(text []byte, want any) bool {
	got, err := d.parseAny(text)
	return err == nil && reflect.DeepEqual(got, want)
}

// edit returns the edits of the document's text that make the changes.
func (d *Document) edit(changes []change) ([]udiff.Edit, error) {
	w := newWriter(d.text, d.json)
	if d.json {
		for _, c := range changes {
			n, err := jsonSource(d.text[:c.object.offset+c.template.offset+len(c.template.raw)], c.object.offset+c.template.offset)
			if err != nil {
				return nil, err
			}
			if err := w.change(n, c); err != nil {
				return nil, err
			}
		}
		return w.edits, nil
	}
	root, err := d.tree()
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(d.text, []byte("\xef\xbb\xbf")) {
		return nil, errUnsupported // columns would count the byte order mark
	}
	r := newYAMLReader(d.text)
	for _, c := range changes {
		y, indent, inFlow := root.Content[0], -1, false
		for _, key := range slices.Concat(c.object.path, c.template.path) {
			inFlow = inFlow || y.Style&yamlnode.FlowStyle != 0
			if y, indent = yamlChild(y, key); y == nil {
				return nil, errUnsupported
			}
		}
		n, err := r.node(y, indent, inFlow)
		if err != nil {
			return nil, err
		}
		w.seqIndent = sequenceIndent(y)
		if err := w.change(n, c); err != nil {
			return nil, err
		}
	}
	w.keepMissingNewline(r, root)
	return w.edits, nil
}

// keepMissingNewline handles a document that ends in a block scalar without a line
// break: "|" becomes "|-" if lines are added after it, so that its value stays.
func (w *writer) keepMissingNewline(r *yamlReader, last *yamlnode.Node) {
	appends := slices.ContainsFunc(w.edits, func(e udiff.Edit) bool { return e.Start == len(w.text) })
	if !appends || bytes.HasSuffix(w.text, []byte("\n")) {
		return
	}
	for len(last.Content) > 0 {
		last = last.Content[len(last.Content)-1]
	}
	if last.Style&(yamlnode.LiteralStyle|yamlnode.FoldedStyle) == 0 {
		return
	}
	start := r.skipProperties(r.offset(last))
	header := string(w.text[start:w.lineEnd(start)])
	if i := strings.IndexByte(header, '+'); i > 0 && i < 3 {
		w.edit(start+i, start+i+1, "-")
	} else if i := strings.IndexByte(header, '-'); i < 0 || i > 2 {
		w.edit(start+1, start+1, "-")
	}
}

func (w *writer) change(n *node, c change) error {
	if n.opaque {
		return errUnsupported
	}
	if err := applyPatch(n, c.patch); err != nil {
		return err
	}
	return w.write(n)
}

// yamlChild returns the value of a key or index and the indentation of its parent.
func yamlChild(y *yamlnode.Node, key string) (*yamlnode.Node, int) {
	switch y.Kind {
	case yamlnode.MappingNode:
		for i := 0; i+1 < len(y.Content); i += 2 {
			if y.Content[i].Value == key {
				return y.Content[i+1], y.Content[i].Column - 1
			}
		}
	case yamlnode.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i < len(y.Content) {
			return y.Content[i], y.Column - 1
		}
	default: // nothing else has children
	}
	return nil, 0
}

// sequenceIndent returns how far the first block sequence below y is indented relative
// to its key. Both 0 and 2 are common.
func sequenceIndent(y *yamlnode.Node) int {
	for i := 0; y.Kind == yamlnode.MappingNode && i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if value.Kind == yamlnode.SequenceNode && value.Style&yamlnode.FlowStyle == 0 {
			return max(value.Column-key.Column, 0)
		}
		if indent := sequenceIndent(value); indent > 0 {
			return indent
		}
	}
	return 0
}
