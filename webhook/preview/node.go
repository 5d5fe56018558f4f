package preview

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
)

// applyPatch applies the engine's operations to a YAML tree, so that comments,
// order and style of everything else stay as their author wrote them.
func applyPatch(root *yamlnode.Node, patch []byte) error {
	if patch == nil {
		return nil
	}
	var operations []struct {
		Op, Path string
		Value    json.RawMessage
	}
	if err := json.Unmarshal(patch, &operations); err != nil {
		return err
	}
	for _, o := range operations {
		var value *yamlnode.Node
		if o.Op != "remove" {
			var document yamlnode.Node
			if err := yamlnode.Unmarshal(o.Value, &document); err != nil {
				return fmt.Errorf("%s %s: %w", o.Op, o.Path, err)
			}
			value = document.Content[0]
			blockStyle(value)
		}
		if err := edit(root, o.Op, pieces(o.Path), value); err != nil {
			return fmt.Errorf("%s %s: %w", o.Op, o.Path, err)
		}
	}
	return nil
}

func pieces(path string) []string {
	list := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, piece := range list {
		list[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(piece)
	}
	return list
}

func edit(node *yamlnode.Node, op string, path []string, value *yamlnode.Node) error {
	for _, piece := range path[:len(path)-1] {
		next := child(node, piece)
		if next == nil {
			return fmt.Errorf("%q is not there", piece)
		}
		node = next
	}
	last := path[len(path)-1]
	if node.Kind == yamlnode.SequenceNode {
		return editSequence(node, op, last, value)
	}
	return editMapping(node, op, last, value)
}

func editMapping(node *yamlnode.Node, op, key string, value *yamlnode.Node) error {
	if node.Kind != yamlnode.MappingNode { // null
		*node = yamlnode.Node{Kind: yamlnode.MappingNode, Tag: "!!map"}
	}
	for i := 0; i < len(node.Content); i += 2 {
		if node.Content[i].Value != key {
			continue
		}
		if op == "remove" {
			node.Content = slices.Delete(node.Content, i, i+2)
		} else {
			node.Content[i+1] = value
		}
		return nil
	}
	if op != "add" {
		return fmt.Errorf("%q is not there", key)
	}
	if len(node.Content) == 0 {
		node.Style = 0 // {} was all that could be written
	}
	name := &yamlnode.Node{Kind: yamlnode.ScalarNode, Tag: "!!str", Value: key}
	node.Content = append(node.Content, name, value)
	return nil
}

func editSequence(node *yamlnode.Node, op, position string, value *yamlnode.Node) error {
	if position == "-" && op == "add" {
		node.Content = append(node.Content, value)
		return nil
	}
	i, err := strconv.Atoi(position)
	if err != nil || i < 0 || i > len(node.Content) || i == len(node.Content) && op != "add" {
		return fmt.Errorf("no element %q", position)
	}
	switch op {
	case "add":
		node.Content = slices.Insert(node.Content, i, value)
	case "remove":
		node.Content = slices.Delete(node.Content, i, i+1)
	default:
		node.Content[i] = value
	}
	return nil
}

// child is the value of a key, or the element of a position; nil without one.
func child(node *yamlnode.Node, piece string) *yamlnode.Node {
	switch node.Kind {
	case yamlnode.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == piece {
				return node.Content[i+1]
			}
		}
	case yamlnode.SequenceNode:
		if i, err := strconv.Atoi(piece); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i]
		}
	}
	return nil
}

// indirect tells a tree that has aliases or merge keys.
func indirect(node *yamlnode.Node) bool {
	return node.Kind == yamlnode.AliasNode || node.Tag == "!!merge" || slices.ContainsFunc(node.Content, indirect)
}

// Words that a YAML 1.1 reader, such as kubectl's, takes for something else than
// a string, and characters with which it may.
var (
	plainScalar  = regexp.MustCompile(`^([A-Za-z/$][A-Za-z0-9_./:=,$()%@+-]*|[1-9][0-9]*(m|Ki|Mi|Gi))$`)
	reservedWord = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null)$`)
)

// blockStyle writes what came as JSON as people write YAML.
func blockStyle(node *yamlnode.Node) {
	node.Style = 0
	if node.Kind == yamlnode.ScalarNode && node.Tag == "!!str" && (!plainScalar.MatchString(node.Value) || reservedWord.MatchString(node.Value) || strings.HasSuffix(node.Value, ":")) {
		node.Style = yamlnode.DoubleQuotedStyle
		if !strings.ContainsFunc(node.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			node.Style = yamlnode.SingleQuotedStyle
		}
	}
	for _, c := range node.Content {
		blockStyle(c)
	}
}
