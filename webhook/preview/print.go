package preview

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// WriteYAML prints the documents. What was not changed is printed as it was read.
func WriteYAML(w io.Writer, documents []*Document) error {
	last := byte('\n')
	written := false
	for _, d := range documents {
		text := d.result()
		if len(text) == 0 && len(d.lead) == 0 {
			continue
		}
		lead := d.lead
		if written && len(lead) == 0 {
			lead = documentMarker
		}
		if last != '\n' && len(lead) > 0 {
			lead = append([]byte("\n"), lead...)
		}
		for _, b := range [][]byte{lead, text} {
			if _, err := w.Write(b); err != nil {
				return err
			}
			if len(b) > 0 {
				last = b[len(b)-1]
			}
		}
		written = true
	}
	if last != '\n' {
		_, err := io.WriteString(w, "\n")
		return err
	}
	return nil
}

// WriteJSON prints the only object, or a List of all objects.
func WriteJSON(w io.Writer, documents []*Document) error {
	var items []json.RawMessage
	for _, d := range documents {
		item, err := d.toJSON()
		if err != nil {
			return err
		}
		if item != nil {
			items = append(items, item)
		}
	}
	if len(items) == 1 {
		return writeIndented(w, items[0], "")
	}
	if _, err := io.WriteString(w, "{\n  \"apiVersion\": \"v1\",\n  \"items\": ["); err != nil {
		return err
	}
	for i, item := range items {
		separator := ",\n    "
		if i == 0 {
			separator = "\n    "
		}
		if _, err := io.WriteString(w, separator); err != nil {
			return err
		}
		if err := writeIndented(w, item, "    "); err != nil {
			return err
		}
	}
	end := "],\n  \"kind\": \"List\"\n}\n"
	if len(items) > 0 {
		end = "\n  " + end
	}
	_, err := io.WriteString(w, end)
	return err
}

func writeIndented(w io.Writer, item []byte, prefix string) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(item), prefix, "  "); err != nil {
		return err
	}
	if prefix == "" {
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteDiff prints the changes as unified diffs, with colours if color is set.
func WriteDiff(w io.Writer, documents []*Document, color bool) error {
	for _, d := range documents {
		name := fmt.Sprintf("%s:%d", d.file, d.line)
		content, edits := string(d.text), d.edits
		switch {
		case d.generated:
			content, edits = "", []udiff.Edit{{New: content}}
		case d.wired == nil:
			continue
		}
		text, err := unifiedDiff(name, content, edits)
		if err != nil {
			return err
		}
		if color {
			text = colorDiff(text)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// unifiedDiff returns the edits as a unified diff. It computes the line numbers of the
// new text itself: udiff v0.4.1 does not count the lines between two changes of a hunk.
func unifiedDiff(name, content string, edits []udiff.Edit) (string, error) {
	diff, err := udiff.ToUnifiedDiff(name, name+" wired", content, edits, udiff.DefaultContextLines)
	if err != nil {
		return "", err
	}
	added := 0
	for _, h := range diff.Hunks {
		h.ToLine = h.FromLine + added
		for _, line := range h.Lines {
			switch line.Kind {
			case udiff.Insert:
				added++
			case udiff.Delete:
				added--
			case udiff.Equal:
			}
		}
	}
	return diff.String(), nil
}

const (
	red, green, cyan, reset = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[0m"
)

func colorDiff(text string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		color := ""
		switch {
		case strings.HasPrefix(line, "+"):
			color = green
		case strings.HasPrefix(line, "-"):
			color = red
		case strings.HasPrefix(line, "@"):
			color = cyan
		}
		if color == "" {
			b.WriteString(line)
			continue
		}
		b.WriteString(color + strings.TrimSuffix(line, "\n") + reset + "\n")
	}
	return b.String()
}
