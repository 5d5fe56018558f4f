package preview

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// part is one document of a stream, without parsing it.
type part struct {
	lead []byte // the marker in front of it; empty for the first one
	text []byte
	line int // the line of text in the file, from 1
	json bool
}

var documentMarker = []byte("---\n")

// split separates a stream into documents: at lines with "---" or "..." (YAML 1.2,
// sections 9.1.2 and 9.1.4), and between JSON values that follow each other.
func split(text []byte) (parts []part) {
	current := part{line: 1}
	start, line := 0, 1
	flush := func(end int) {
		current.text = text[start:end]
		parts = append(parts, splitJSON(current)...)
	}
	ended := false // after "...", a document without a marker can follow
	offset := 0
	for content := range bytes.Lines(text) {
		end := offset + len(content)
		switch marker, size := markerOf(content); {
		case marker == '-':
			if !ended {
				flush(offset)
			}
			ended = false
			current = part{lead: content[:size], line: line}
			start = offset + size
			if size == len(content) {
				current.line++
			}
		case marker == '.':
			if !ended {
				flush(offset)
			}
			ended = true
			start = end
		case ended && len(bytes.TrimSpace(content)) > 0 && content[0] != '#':
			ended = false
			current = part{lead: documentMarker, line: line}
			if content[0] == '%' { // directives, which need "..." in front of them
				current.lead = []byte("...\n")
			}
			start = offset
		}
		offset = end
		line++
	}
	if !ended {
		flush(len(text))
	}
	return joinDirectives(parts)
}

// markerOf returns '-' or '.' for a line that is a document marker, and the size of the
// marker in front of the document's text.
func markerOf(line []byte) (marker byte, size int) {
	if len(line) < 3 || (line[0] != '-' && line[0] != '.') || line[1] != line[0] || line[2] != line[0] {
		return 0, 0
	}
	rest := line[3:]
	text := bytes.TrimLeft(rest, " \t")
	blank := len(bytes.TrimSpace(text)) == 0
	switch {
	case !blank && len(text) == len(rest):
		return 0, 0 // ----
	case blank || text[0] == '#' || line[0] == '.':
		return line[0], len(line)
	}
	return line[0], len(line) - len(text)
}

// joinDirectives joins parts that only have directives, such as %YAML 1.2, to the
// marker behind them.
func joinDirectives(parts []part) []part {
	joined := parts[:0]
	var lead []byte
	for _, p := range parts {
		if text := bytes.TrimSpace(p.text); len(text) > 0 && text[0] == '%' && !bytes.Contains(text, []byte("\n")) {
			lead = append(append(lead, p.lead...), p.text...)
			continue
		}
		p.lead = append(lead, p.lead...)
		lead = nil
		joined = append(joined, p)
	}
	return joined
}

// splitJSON separates JSON values that follow each other. A part that is not JSON from
// the beginning to the end stays as it is.
func splitJSON(p part) []part {
	if text := bytes.TrimLeft(p.text, " \t\r\n"); len(text) == 0 || text[0] != '{' {
		return []part{p}
	}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(p.text))
	var parts []part
	for end := 0; ; {
		start := len(p.text) - len(bytes.TrimLeft(p.text[end:], " \t\r\n"))
		value, err := decoder.ReadValue()
		switch {
		case len(parts) == 0 && (err != nil || value[0] != '{'):
			return []part{p} // YAML in flow style, or a mistake that the YAML parser reports
		case start == len(p.text):
			last := &parts[len(parts)-1]
			last.text = p.text[end-len(last.text):]
			return parts
		}
		next := part{lead: documentMarker, line: p.line + bytes.Count(p.text[:start], []byte("\n"))}
		if len(parts) == 0 {
			next.lead = p.lead
		}
		if err != nil {
			next.text = p.text[start:]
			return append(parts, next)
		}
		end = int(decoder.InputOffset())
		next.text, next.json = p.text[start:end], true
		parts = append(parts, next)
	}
}
