package record

import (
	"strconv"
	"unicode/utf8"
)

// keptLine is a line that later records may complete: the container's runtime cut
// it (at 16 KiB), or its program wrote several lines. Its record refers to the
// memory of the chunk, which is valid until Decode returns.
type keptLine struct {
	pod    *Pod
	stream string
	line   []byte
	record recordFields
}

// joinPartial keeps a part of a line until the last part arrives. It reports
// whether the line is still incomplete. Lines are joined within one chunk: at its
// end, a part becomes an event of its own. Fluent Bit's multiline.parser cri,
// which the DaemonSet uses, joins across chunks.
func (d *Decoder) joinPartial() bool {
	r := &d.r
	if !r.hasTag {
		return false
	}
	i := d.findLine(d.partialLines)
	switch {
	case i < 0 && !r.isPartial:
		return false
	case i < 0:
		d.partialLines = append(d.partialLines, d.keepLine())
		return true
	}
	h := &d.partialLines[i]
	h.line = append(h.line, r.line...)
	if r.isPartial {
		return true
	}
	line := h.line
	*r = h.record
	d.partialLines = append(d.partialLines[:i], d.partialLines[i+1:]...)
	r.line = line
	return false
}

// keepLine returns the current record for later.
func (d *Decoder) keepLine() keptLine {
	return keptLine{d.pod, string(d.r.stream), append([]byte(nil), d.r.line...), d.copyRecord()}
}

func (d *Decoder) copyRecord() recordFields {
	r := d.r
	r.others = append([]keyValue(nil), r.others...)
	return r
}

// findLine returns the index of the line of the current pod and stream, or -1.
func (d *Decoder) findLine(lines []keptLine) int {
	for i := range lines {
		if lines[i].pod == d.pod && lines[i].stream == string(d.r.stream) {
			return i
		}
	}
	return -1
}

// flushLines writes the lines that nothing has completed.
func (d *Decoder) flushLines() {
	for _, lines := range [][]keptLine{d.openLines, d.partialLines} {
		for _, l := range lines {
			d.r, d.pod = l.record, l.pod
			d.writeLine(l.line)
		}
	}
	d.openLines, d.partialLines = d.openLines[:0], d.partialLines[:0]
}

// split divides a message that is too long into events of one time, each with a
// piece of its text. The pieces put together are the whole message.
func (d *Decoder) split(from int, at int64, pod *Pod, t Tally) {
	start := from
	for d.w.buf[start] != ',' { // {"timestamp":N,"message":"
		start++
	}
	whole := unescaped(d.w.buf[start+len(`,"message":"`):])
	d.w.buf = d.w.buf[:from]
	pieces := splitText(whole, MaxMessage-len(pod.member.escaped)-64)
	for i, piece := range pieces {
		entry := d.beginEntry(at)
		d.w.json([]byte(`{"message":`))
		d.w.str(piece)
		d.w.json(appendPart(nil, i+1, len(pieces)))
		d.w.fragment(pod.member)
		d.w.raw([]byte{'}'})
		d.endEntry(entry, at, pod, t)
		t = Tally{} // the line counts once
	}
}

// splitText divides text into pieces of at most limit bytes, measured as JSON
// strings, and never within a character.
func splitText(text []byte, limit int) (pieces [][]byte) {
	from, size := 0, 0
	for i := 0; i < len(text); {
		_, n := utf8.DecodeRune(text[i:])
		grown := n
		if n == 1 {
			var short [6]byte
			grown = len(appendEscaped(short[:0], text[i]))
		}
		if size+grown > limit {
			pieces = append(pieces, text[from:i])
			from, size = i, 0
		}
		size += grown
		i += n
	}
	return append(pieces, text[from:])
}

func appendPart(b []byte, part, parts int) []byte {
	b = strconv.AppendInt(append(b, `,"part":`...), int64(part), 10)
	return strconv.AppendInt(append(b, `,"parts":`...), int64(parts), 10)
}
