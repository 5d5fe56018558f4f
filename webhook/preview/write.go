package preview

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// writer turns the changes of a tree into edits of its source text. Everything else
// in the text stays byte for byte: comments, order, quoting, line endings.
type writer struct {
	text      []byte
	json      bool
	lines     bool   // JSON with line breaks
	space     string // what follows a colon in JSON
	newline   string
	seqIndent int // the indentation of a block sequence relative to its key
	edits     []udiff.Edit
}

var errUnsupported = errors.New("the change cannot be made in the source text")

func newWriter(text []byte, isJSON bool) *writer {
	w := &writer{text: text, json: isJSON, newline: "\n"}
	if isJSON && bytes.Contains(text, []byte("\": ")) {
		w.space, w.lines = " ", bytes.Contains(text, []byte("\n"))
	}
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		w.newline = "\r\n"
	}
	return w
}

func (w *writer) edit(start, end int, text string) {
	w.edits = append(w.edits, udiff.Edit{Start: start, End: end, New: text})
}

// write adds the edits of a tree.
func (w *writer) write(n *node) error {
	for _, e := range n.removed {
		if err := w.remove(n, e); err != nil {
			return err
		}
	}
	if n.flow {
		return w.writeFlow(n)
	}
	return w.writeBlock(n)
}

func (w *writer) writeFlow(n *node) error {
	last := slices.IndexFunc(n.entries, func(e entry) bool { return !e.isNew() })
	if last < 0 && len(n.entries) > 0 {
		if len(n.removed) > 0 {
			return errUnsupported
		}
		w.edit(n.start, n.end, w.flowText(n, w.flowIndent(n.start)))
		return nil
	}
	for i, e := range n.entries {
		switch {
		case !e.isNew():
			last = i
			if err := w.existing(n, e); err != nil {
				return err
			}
		case i < last: // in front of the first entry of the source
			first := n.entries[last].start
			w.edit(first, first, w.entryText(n, e, w.flowIndent(first))+","+w.flowSeparator(n))
		default:
			end := w.valueEnd(n.entries[last].value)
			w.edit(end, end, ","+w.flowSeparator(n)+w.entryText(n, e, w.flowIndent(n.entries[last].start)))
		}
	}
	return nil
}

// valueEnd returns the end of an entry's value in the source.
func (w *writer) valueEnd(n *node) int {
	if n.replaced != nil {
		return n.replaced.end
	}
	return n.end
}

func (w *writer) entryText(parent *node, e entry, indent string) string {
	value := w.flowText(e.value, indent)
	if parent.kind == sequenceNode {
		return value
	}
	if w.json {
		key, _ := marshal(e.key)
		return string(key) + ":" + w.space + value
	}
	return flowScalar(e.key) + ": " + value
}

// flowSeparator returns what follows a comma in a flow collection: the line break and
// indentation of the collection's own entries, if it has one entry a line.
func (w *writer) flowSeparator(n *node) string {
	i := slices.IndexFunc(n.entries, func(e entry) bool { return !e.isNew() })
	start := n.entries[i].start
	between := w.text[n.start+1 : start]
	if line := bytes.LastIndexByte(between, '\n'); line >= 0 && len(bytes.TrimSpace(between)) == 0 {
		return w.newline + string(between[line+1:])
	}
	if w.json {
		return w.space
	}
	return " "
}

// flowIndent returns the indentation of the line of an offset if new values take
// several lines, as in indented JSON; else "-".
func (w *writer) flowIndent(offset int) string {
	if !w.lines {
		return "-"
	}
	line := w.text[bytes.LastIndexByte(w.text[:offset], '\n')+1:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// flowText returns a new value in flow style: JSON in a JSON document.
func (w *writer) flowText(n *node, indent string) string {
	if n.kind == scalarNode {
		if w.json {
			return string(n.scalar)
		}
		return flowScalarJSON(n.scalar)
	}
	brackets := "{}"
	if n.kind == sequenceNode {
		brackets = "[]"
	}
	if len(n.entries) == 0 {
		return brackets
	}
	inner, lineBreak, comma, end := indent, "", ", ", ""
	switch {
	case w.json && indent == "-":
		comma = "," + w.space
	case w.json:
		inner = indent + w.indentStep()
		lineBreak, comma, end = w.newline+inner, ","+w.newline+inner, w.newline+indent
	}
	texts := make([]string, len(n.entries))
	for i, e := range n.entries {
		texts[i] = w.entryText(n, e, inner)
	}
	return brackets[:1] + lineBreak + strings.Join(texts, comma) + end + brackets[1:]
}

// indentStep returns the indentation of the first member of a JSON document.
func (w *writer) indentStep() string {
	_, rest, _ := bytes.Cut(w.text, []byte("\n"))
	if step := rest[:len(rest)-len(bytes.TrimLeft(rest, " \t"))]; len(step) > 0 {
		return string(step)
	}
	return "  "
}

// existing writes the changes of an entry of the source: below it, or its new value.
func (w *writer) existing(parent *node, e entry) error {
	if e.value.replaced == nil {
		return w.write(e.value)
	}
	before := e.value.replaced
	switch {
	case parent.flow:
		w.edit(before.start, before.end, w.flowText(e.value, w.flowIndent(e.start)))
	case e.value.kind == scalarNode || len(e.value.entries) == 0:
		text := w.flowText(e.value, "-")
		if before.start == before.end {
			text = " " + text
		}
		w.edit(before.start, before.end, text)
	case parent.kind == sequenceNode:
		w.edit(e.start, before.end, w.blockText(parent, []entry{{value: e.value}}, w.column(e.start))[w.column(e.start):])
	default:
		return w.replaceByBlock(e, before)
	}
	return nil
}

// replaceByBlock replaces a value that was null or empty by a block collection.
func (w *writer) replaceByBlock(e entry, before *node) error {
	if bytes.ContainsRune(w.text[before.start:before.end], '\n') {
		return errUnsupported
	}
	start := before.start
	for start > 0 && w.text[start-1] == ' ' {
		start--
	}
	lineEnd := w.lineEnd(before.end)
	if start < before.end {
		w.edit(start, before.end, "")
	}
	column := w.column(e.start)
	if e.value.kind == mappingNode {
		column += 2
	} else {
		column += w.seqIndent
	}
	w.edit(lineEnd, lineEnd, w.newline+strings.TrimSuffix(w.blockText(e.value, e.value.entries, column), w.newline))
	return nil
}

func (w *writer) writeBlock(n *node) error {
	last := -1
	first := slices.IndexFunc(n.entries, func(e entry) bool { return !e.isNew() })
	if first < 0 && (len(n.entries) > 0 || len(n.removed) > 0) {
		return errUnsupported
	}
	for i, e := range n.entries {
		if !e.isNew() {
			last = i
			if err := w.existing(n, e); err != nil {
				return err
			}
			continue
		}
		column := w.column(n.entries[first].start)
		text := w.blockText(n, []entry{e}, column)
		if last < 0 {
			at := w.lineStart(n.entries[first].start)
			if len(bytes.TrimSpace(w.text[at:n.entries[first].start])) > 0 {
				return errUnsupported
			}
			at = w.aboveComments(at, column)
			w.edit(at, at, text)
			continue
		}
		w.insertLines(w.valueEnd(n.entries[last].value), text)
	}
	return nil
}

// insertLines inserts lines after the line of an offset.
func (w *writer) insertLines(offset int, text string) {
	at := bytes.IndexByte(w.text[offset:], '\n')
	if at >= 0 {
		w.edit(offset+at+1, offset+at+1, text)
		return
	}
	w.edit(len(w.text), len(w.text), w.newline+strings.TrimSuffix(text, w.newline))
}

// aboveComments returns the start of the comment lines above a line, which belong to
// the entry in it.
func (w *writer) aboveComments(line, column int) int {
	for line > 0 {
		above := w.lineStart(line - 1)
		text := w.text[above:line]
		if len(text) <= column || text[column] != '#' || len(bytes.TrimLeft(text[:column], " ")) > 0 {
			break
		}
		line = above
	}
	return line
}

// remove deletes the lines of an entry in block style, or an entry of a JSON or flow
// collection with the comma behind or in front of it.
func (w *writer) remove(parent *node, e entry) error {
	end := w.valueEnd(e.value)
	if parent.flow {
		rest := bytes.TrimLeft(w.text[end:parent.end], " \t\r\n")
		before := bytes.TrimRight(w.text[parent.start:e.start], " \t\r\n")
		switch {
		case len(rest) > 0 && rest[0] == ',':
			rest = bytes.TrimLeft(rest[1:], " \t\r\n")
			w.edit(e.start, parent.end-len(rest), "")
		case len(parent.removed) == 1 && len(before) > 0 && before[len(before)-1] == ',':
			w.edit(parent.start+len(before)-1, end, "")
		case len(parent.removed) == 1:
			w.edit(e.start, end, "")
		default:
			return errUnsupported
		}
		return nil
	}
	start := w.lineStart(e.start)
	if len(bytes.TrimSpace(w.text[start:e.start])) > 0 || len(parent.entries) == 0 {
		return errUnsupported
	}
	stop := len(w.text)
	if n := bytes.IndexByte(w.text[end:], '\n'); n >= 0 {
		stop = end + n + 1
	}
	w.edit(start, stop, "")
	return nil
}

func (w *writer) lineStart(offset int) int { return bytes.LastIndexByte(w.text[:offset], '\n') + 1 }

// lineEnd returns the end of the line of an offset, without its line break.
func (w *writer) lineEnd(offset int) int {
	end := len(w.text)
	if n := bytes.IndexByte(w.text[offset:], '\n'); n >= 0 {
		end = offset + n
	}
	if end > offset && w.text[end-1] == '\r' {
		end--
	}
	return end
}

// column returns how many bytes a line has in front of an offset. Indentation has one
// byte a column.
func (w *writer) column(offset int) int { return offset - w.lineStart(offset) }

// blockText returns entries of a collection in block style, with a line break at the
// end.
func (w *writer) blockText(parent *node, entries []entry, column int) string {
	var b strings.Builder
	w.appendBlock(&b, parent.kind, entries, column, strings.Repeat(" ", column))
	return b.String()
}

// appendBlock writes entries. lead stands in front of the first line: the indentation,
// or the dash of the sequence that contains this mapping.
func (w *writer) appendBlock(b *strings.Builder, parent kind, entries []entry, column int, lead string) {
	indent := strings.Repeat(" ", column)
	for _, e := range entries {
		b.WriteString(lead)
		lead = indent
		isCollection := e.value.kind != scalarNode && len(e.value.entries) > 0
		switch {
		case parent == sequenceNode && isCollection:
			w.appendBlock(b, e.value.kind, e.value.entries, column+2, "- ")
			continue
		case parent == sequenceNode:
			b.WriteString("- " + w.flowText(e.value, "-") + w.newline)
			continue
		}
		b.WriteString(blockScalar(e.key) + ":")
		if !isCollection {
			b.WriteString(" " + w.blockValue(e.value) + w.newline)
			continue
		}
		b.WriteString(w.newline)
		inner := column + 2
		if e.value.kind == sequenceNode {
			inner = column + w.seqIndent
		}
		w.appendBlock(b, e.value.kind, e.value.entries, inner, strings.Repeat(" ", inner))
	}
}

func (w *writer) blockValue(n *node) string {
	if n.kind == scalarNode && n.scalar[0] == '"' {
		return blockScalar(unquote(n.scalar))
	}
	return w.flowText(n, "-")
}

// plainScalar matches the strings that are written without quotes. It excludes
// everything that a YAML 1.1 parser, such as kubectl's, does not read as a string.
var (
	plainScalar  = regexp.MustCompile(`^([A-Za-z/$][A-Za-z0-9_./:=,$()%@+-]*|[1-9][0-9]*(m|Ki|Mi|Gi))$`)
	reservedWord = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null)$`)
)

func blockScalar(s string) string {
	if plainScalar.MatchString(s) && !reservedWord.MatchString(s) && !strings.HasSuffix(s, ":") {
		return s
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		quoted, _ := marshal(s)
		return string(quoted)
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// flowScalar is like blockScalar for a string inside of [] or {}.
func flowScalar(s string) string {
	if text := blockScalar(s); text != s || !strings.ContainsAny(s, ",[]{}:") {
		return text
	}
	return "'" + s + "'"
}

func flowScalarJSON(scalar []byte) string {
	if scalar[0] != '"' {
		return string(scalar)
	}
	return flowScalar(unquote(scalar))
}
