package preview

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// node is a value in a document: one that the source text contains, or a new one.
// Patch operations change the tree; the writer then turns the difference between
// the tree and the text into edits.
type node struct {
	kind    kind
	entries []entry // of a mapping or sequence
	scalar  []byte  // JSON of a new scalar

	inSource bool
	flow     bool // {}, [] or JSON, not block style
	opaque   bool // an alias: it stands for a value that other places share
	start    int  // byte offset in the text
	end      int  // exclusive
	replaced *node
	removed  []entry // entries of the source that a patch removed
}

type kind byte

const (
	scalarNode kind = iota
	mappingNode
	sequenceNode
)

// entry is a key with its value, or an element of a sequence. start is the offset of
// the key, or of the dash of an element in block style.
type entry struct {
	key   string
	start int
	value *node
}

// operation is an RFC 6902 operation of the engine.
type operation struct {
	Op, Path string
	Value    json.RawMessage
}

// applyPatch applies the operations of a patch to a tree. It changes *root itself
// only if the patch replaces an empty value.
func applyPatch(root *node, patch []byte) error {
	var operations []operation
	if err := json.Unmarshal(patch, &operations); err != nil {
		return err
	}
	for _, o := range operations {
		if err := applyOperation(root, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.Op, o.Path, err)
		}
	}
	return nil
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

func applyOperation(root *node, o operation) error {
	path := strings.Split(strings.TrimPrefix(o.Path, "/"), "/")
	for i := range path {
		path[i] = unescapePointer.Replace(path[i])
	}
	parent := root
	for _, key := range path[:len(path)-1] {
		if parent = parent.child(key); parent == nil {
			return fmt.Errorf("%q does not exist", key)
		}
	}
	if parent.opaque {
		return fmt.Errorf("%q is an alias", strings.Join(path[:len(path)-1], "."))
	}
	var value *node
	if o.Op != "remove" {
		var err error
		if value, err = newNode(o.Value); err != nil {
			return err
		}
	}
	key := path[len(path)-1]
	if parent.kind == sequenceNode {
		return parent.editSequence(o.Op, key, value)
	}
	return parent.editMapping(o.Op, key, value)
}

func (n *node) child(key string) *node {
	if i := n.index(key); i >= 0 {
		return n.entries[i].value
	}
	return nil
}

// index returns the index of a key, or the index that a key of a sequence stands
// for, or -1.
func (n *node) index(key string) int {
	if n.kind == sequenceNode {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.entries) {
			return i
		}
		return -1
	}
	return slices.IndexFunc(n.entries, func(e entry) bool { return e.key == key })
}

func (n *node) editMapping(op, key string, value *node) error {
	if n.kind == scalarNode { // null
		return fmt.Errorf("%q has no parent object", key)
	}
	i := n.index(key)
	switch {
	case i >= 0 && op == "remove":
		n.remove(i)
	case i >= 0:
		n.replace(i, value)
	case op == "add":
		n.entries = append(n.entries, entry{key: key, value: value})
	default:
		return fmt.Errorf("%q does not exist", key)
	}
	return nil
}

func (n *node) editSequence(op, position string, value *node) error {
	i := n.index(position)
	switch {
	case op == "add" && (position == "-" || position == strconv.Itoa(len(n.entries))):
		n.entries = append(n.entries, entry{value: value})
	case i < 0:
		return fmt.Errorf("element %q does not exist", position)
	case op == "add":
		n.entries = slices.Insert(n.entries, i, entry{value: value})
	case op == "remove":
		n.remove(i)
	default:
		n.replace(i, value)
	}
	return nil
}

func (n *node) remove(i int) {
	if e := n.entries[i]; e.value.inSource || e.value.replaced != nil {
		n.removed = append(n.removed, e)
	}
	n.entries = slices.Delete(n.entries, i, i+1)
}

func (n *node) replace(i int, value *node) {
	before := n.entries[i].value
	value.replaced = before.replaced
	if before.inSource {
		value.replaced = before
	}
	n.entries[i].value = value
}

// isNew reports whether an entry is not in the source at all.
func (e entry) isNew() bool { return !e.value.inSource && e.value.replaced == nil }

// newNode returns the tree of a JSON value, which keeps the order of its members.
func newNode(raw []byte) (*node, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return decodeNew(decoder)
}

func decodeNew(decoder *json.Decoder) (*node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delimiter, ok := token.(json.Delim)
	if !ok {
		scalar, err := marshal(token)
		return &node{scalar: scalar}, err
	}
	n := &node{kind: mappingNode}
	if delimiter == '[' {
		n.kind = sequenceNode
	}
	for decoder.More() {
		var e entry
		if n.kind == mappingNode {
			key, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			e.key, _ = key.(string)
		}
		if e.value, err = decodeNew(decoder); err != nil {
			return nil, err
		}
		n.entries = append(n.entries, e)
	}
	_, err = decoder.Token()
	return n, err
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
