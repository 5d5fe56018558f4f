package preview

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	yamlnode "go.yaml.in/yaml/v3"
)

// jsonSource returns the tree of the JSON value at an offset of text.
func jsonSource(text []byte, offset int) (*node, error) {
	d := &jsonReader{decoder: jsontext.NewDecoder(bytes.NewBuffer(text[offset:])), text: text, base: offset}
	return d.value()
}

type jsonReader struct {
	decoder *jsontext.Decoder
	text    []byte
	base    int
}

// next returns the offset of the next token.
func (r *jsonReader) next() int {
	i := r.base + int(r.decoder.InputOffset())
	for i < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[i]) >= 0 {
		i++
	}
	return i
}

func (r *jsonReader) value() (*node, error) {
	n := &node{inSource: true, flow: true, start: r.next()}
	token, err := r.decoder.ReadToken()
	if err != nil {
		return nil, err
	}
	var closing jsontext.Kind
	switch token.Kind() {
	case '{':
		n.kind, closing = mappingNode, '}'
	case '[':
		n.kind, closing = sequenceNode, ']'
	default:
		n.end = r.base + int(r.decoder.InputOffset())
		return n, nil
	}
	for r.decoder.PeekKind() != closing {
		e := entry{start: r.next()}
		if n.kind == mappingNode {
			key, err := r.decoder.ReadToken()
			if err != nil {
				return nil, err
			}
			e.key = key.String()
		}
		if e.value, err = r.value(); err != nil {
			return nil, err
		}
		n.entries = append(n.entries, e)
	}
	_, err = r.decoder.ReadToken()
	n.end = r.base + int(r.decoder.InputOffset())
	return n, err
}

// yamlReader converts the nodes of a YAML library to nodes with spans. The library
// gives the line and the column, in characters, where a node starts; the reader finds
// where it ends.
type yamlReader struct {
	text  []byte
	lines []int // the offset of each line
}

func newYAMLReader(text []byte) *yamlReader {
	r := &yamlReader{text: text, lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	return r
}

var errUnknownSpan = errors.New("the end of a value is unknown")

func (r *yamlReader) offset(y *yamlnode.Node) int {
	if y.Line < 1 || y.Line > len(r.lines) {
		return len(r.text)
	}
	i := r.lines[y.Line-1]
	for range y.Column - 1 {
		_, size := utf8.DecodeRune(r.text[i:])
		i += size
	}
	return i
}

// node converts y. indent is the indentation of the parent collection, -1 at the top.
func (r *yamlReader) node(y *yamlnode.Node, indent int, inFlow bool) (*node, error) {
	n := &node{inSource: true, start: r.offset(y)}
	n.flow = inFlow || y.Style&yamlnode.FlowStyle != 0
	var err error
	switch y.Kind {
	case yamlnode.MappingNode:
		n.kind = mappingNode
		err = r.mapping(n, y)
	case yamlnode.SequenceNode:
		n.kind = sequenceNode
		err = r.sequence(n, y)
	case yamlnode.AliasNode:
		n.opaque = true
		n.end = n.start + bytes.IndexAny(append(r.text[n.start:len(r.text):len(r.text)], '\n'), " \t\r\n,]}")
		return n, nil
	default:
		n.end, err = r.scalarEnd(y, n.start, indent, inFlow)
		return n, err
	}
	if err != nil {
		return nil, err
	}
	switch {
	case n.flow:
		n.start = r.skipProperties(n.start)
		if n.start >= len(r.text) || r.text[n.start] != '{' && r.text[n.start] != '[' {
			return nil, errUnknownSpan // [key: value], a mapping without braces
		}
		n.end, err = r.flowEnd(n.start)
	case len(n.entries) == 0:
		err = errUnknownSpan
	default:
		n.start = n.entries[0].start
		n.end = n.entries[len(n.entries)-1].value.end
	}
	return n, err
}

func (r *yamlReader) mapping(n *node, y *yamlnode.Node) error {
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		value, err := r.node(y.Content[i+1], key.Column-1, n.flow)
		if err != nil {
			return err
		}
		name := key.Value
		if key.Kind != yamlnode.ScalarNode || key.Tag == "!!merge" {
			name = "" // no operation refers to it
		}
		n.entries = append(n.entries, entry{key: name, start: r.offset(key), value: value})
	}
	return nil
}

func (r *yamlReader) sequence(n *node, y *yamlnode.Node) error {
	for _, element := range y.Content {
		start := r.offset(element)
		indent := 0
		if !n.flow {
			start = len(bytes.TrimRight(r.text[:start], " \t\r\n")) - 1
			if start < 0 || r.text[start] != '-' {
				return errUnknownSpan // a comment, between the dash and the element
			}
			indent = start - bytes.LastIndexByte(r.text[:start], '\n') - 1
		}
		value, err := r.node(element, indent, n.flow)
		if err != nil {
			return err
		}
		n.entries = append(n.entries, entry{start: start, value: value})
	}
	return nil
}

// skipProperties skips an anchor and a tag in front of a value.
func (r *yamlReader) skipProperties(i int) int {
	for i < len(r.text) && (r.text[i] == '&' || r.text[i] == '!') {
		for i < len(r.text) && strings.IndexByte(" \t\r\n", r.text[i]) < 0 {
			i++
		}
		for i < len(r.text) && (r.text[i] == ' ' || r.text[i] == '\t') {
			i++
		}
	}
	return i
}

// flowEnd returns the end of the flow collection at i.
func (r *yamlReader) flowEnd(i int) (int, error) {
	depth := 0
	for ; i < len(r.text); i++ {
		switch c := r.text[i]; c {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		case '"', '\'':
			if strings.IndexByte(" \t\n,:[{", r.text[i-1]) < 0 {
				continue // inside of a plain scalar
			}
			end, err := r.quotedEnd(i)
			if err != nil {
				return 0, err
			}
			i = end - 1
		case '#':
			if strings.IndexByte(" \t\n", r.text[i-1]) >= 0 {
				i = r.lineEnd(i)
			}
		}
	}
	return 0, errUnknownSpan
}

// quotedEnd returns the end of the quoted scalar at i.
func (r *yamlReader) quotedEnd(i int) (int, error) {
	quote := r.text[i]
	for i++; i < len(r.text); i++ {
		switch {
		case r.text[i] == '\\' && quote == '"':
			i++
		case r.text[i] == quote && quote == '\'' && i+1 < len(r.text) && r.text[i+1] == quote:
			i++
		case r.text[i] == quote:
			return i + 1, nil
		}
	}
	return 0, errUnknownSpan
}

// lineEnd returns the offset of the newline, or of the carriage return before it, at
// the end of the line of i.
func (r *yamlReader) lineEnd(i int) int {
	end := len(r.text)
	if n := bytes.IndexByte(r.text[i:], '\n'); n >= 0 {
		end = i + n
	}
	if end > i && r.text[end-1] == '\r' {
		end--
	}
	return end
}

func (r *yamlReader) scalarEnd(y *yamlnode.Node, start, indent int, inFlow bool) (int, error) {
	if y.Value == "" && y.Tag == "!!null" && y.Style == 0 {
		return start, nil // nothing is written
	}
	start = r.skipProperties(start)
	switch {
	case start >= len(r.text):
		return start, nil
	case y.Style&(yamlnode.DoubleQuotedStyle|yamlnode.SingleQuotedStyle) != 0:
		return r.quotedEnd(start)
	case y.Style&(yamlnode.LiteralStyle|yamlnode.FoldedStyle) != 0:
		return r.blockScalarEnd(start, indent), nil
	case inFlow:
		return start + len(strings.TrimRight(plainPart(r.text[start:r.lineEnd(start)], ",]}"), " \t")), nil
	}
	return r.plainEnd(start, indent), nil
}

// plainPart returns the text of a plain scalar in one line: up to a comment or to one
// of the characters that end it.
func plainPart(line []byte, ends string) string {
	for i, c := range line {
		if c == '#' && i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') || strings.IndexByte(ends, c) >= 0 {
			return string(line[:i])
		}
	}
	return string(line)
}

// plainEnd returns the end of the plain scalar at start. It continues on lines with
// more indentation than its parent, up to a comment.
func (r *yamlReader) plainEnd(start, indent int) int {
	line := r.text[start:r.lineEnd(start)]
	part := plainPart(line, "")
	end := start + len(strings.TrimRight(part, " \t"))
	for len(part) == len(line) {
		next := bytes.IndexByte(r.text[start:], '\n')
		if next < 0 {
			break
		}
		start += next + 1
		line = r.text[start:r.lineEnd(start)]
		content := bytes.TrimLeft(line, " ")
		if len(bytes.TrimSpace(content)) == 0 {
			part = string(line)
			continue
		}
		if len(line)-len(content) <= indent || content[0] == '#' {
			break
		}
		part = plainPart(line, "")
		end = start + len(strings.TrimRight(part, " \t"))
	}
	return end
}

// blockScalarEnd returns the end of the literal or folded scalar at start: the end of
// its last line with text, or of its last line if it keeps trailing newlines.
func (r *yamlReader) blockScalarEnd(start, indent int) int {
	header := r.text[start:r.lineEnd(start)]
	keep := bytes.ContainsRune(header[:min(3, len(header))], '+')
	end, content := r.lineEnd(start), -1
	for i := end; ; {
		next := bytes.IndexByte(r.text[i:], '\n')
		if next < 0 {
			return end
		}
		i += next + 1
		if i >= len(r.text) {
			return end
		}
		line := r.text[i:r.lineEnd(i)]
		text := bytes.TrimLeft(line, " ")
		depth := len(line) - len(text)
		switch {
		case len(text) == 0 && (!keep && (content < 0 || depth <= content)):
		case len(text) == 0:
			end = i + len(line)
		case depth <= indent || content >= 0 && depth < content:
			return end
		default:
			if content < 0 {
				content = depth
			}
			end = i + len(line)
		}
	}
}
