package record

import "unicode/utf8"

// writeLine writes a line as an object if it is one, else as text.
func (d *Decoder) writeLine(line []byte) {
	if !utf8.Valid(line) {
		line, d.restored = validUTF8(line, d.restored[:0])
	}
	d.writeMessage(line)
}

// writeMessage writes an event from UTF-8 text and the other members of the
// record.
func (d *Decoder) writeMessage(text []byte) {
	text = d.redacted(&d.cleanLine, text)
	if d.isText = !d.scan.object(text); d.isText {
		d.writeText(text)
		return
	}
	d.fields.scan(&d.scan)
	from := d.beginEntry(d.r.at)
	d.writeObject()
	d.endEntry(from, d.r.at, d.pod, d.fields.tallyOf(text))
}

// writeText writes a line that is not a JSON object, with the runtime's time, which
// is the only one of that precision, and with the level if a parser read one.
func (d *Decoder) writeText(text []byte) {
	from := d.beginEntry(d.r.at)
	w := &d.w
	w.json([]byte(`{"message":`))
	w.str(text)
	d.writeTime()
	tally := textTally(text)
	if level := d.r.level(); level != "" {
		w.json([]byte(`,"level":"` + level + `"`))
		if level == "ERROR" {
			tally.ErrorLines = 1
		}
	}
	d.fields.reset(0)
	d.writeMetadata()
	d.endEntry(from, d.r.at, d.pod, tally)
}

// writeTime writes the runtime's time. A parser may have put any text in its place, which
// is redacted as every other member is.
func (d *Decoder) writeTime() {
	w, at := &d.w, d.r.time
	if at == nil || !utf8.Valid(at) {
		return
	}
	if d.Redact == nil || isTime(at) {
		w.json([]byte(`,"time":`))
		w.str(at)
		return
	}
	if key, value, ok := d.redactedMember([]byte(`"time"`), appendText(nil, at)); ok {
		w.raw([]byte{','})
		w.json(key)
		w.raw([]byte{':'})
		w.json(value)
	}
}

// writeObject writes the members of a line unchanged and in order, with three
// exceptions: the message of a nested event moves beside its fields, a field
// whose name is taken is called fields.NAME, and ids are added.
func (d *Decoder) writeObject() {
	s, f, w := &d.scan, &d.fields, &d.w
	f.renameDuplicates(s, d.adds)
	w.raw([]byte{'{'})
	run := span{-1, -1} // members that are written unchanged
	wrote := false
	flush := func() {
		if run.from >= 0 {
			w.json(s.bytes(run))
			run.from, wrote = -1, true
		}
	}
	hoist := f.message >= 0 && !d.hasRoot("message")
	for i, root := range f.roots {
		m := s.members[root]
		switch {
		case root == f.fields && hoist:
			flush()
			d.writeComma(wrote)
			d.writeNested()
			wrote = true
		case f.renamed[i] > 0:
			flush()
			d.writeComma(wrote)
			w.json(quote)
			for range f.renamed[i] {
				w.raw([]byte("fields."))
			}
			w.json(s.text[m.key.from:m.value.to])
			wrote = true
		case run.from < 0:
			d.writeComma(wrote)
			run = span{m.key.from - 1, m.value.to}
		default:
			run.to = m.value.to
		}
	}
	flush()
	d.writeIDs(wrote)
	d.writeMetadata()
}

func (d *Decoder) writeComma(wrote bool) {
	if wrote {
		d.w.raw([]byte{','})
	}
}

func (d *Decoder) hasRoot(key string) bool {
	for _, root := range d.fields.roots {
		if string(d.scan.bytes(d.scan.members[root].key)) == key {
			return true
		}
	}
	return false
}

// writeNested writes the message and, if there are any, the other fields.
func (d *Decoder) writeNested() {
	s, f, w := &d.scan, &d.fields, &d.w
	w.json([]byte(`"message":`))
	w.json(s.bytes(s.members[f.message].value))
	separator := `,"fields":{`
	for i := f.fields + 1; int(i) < len(s.members); i++ {
		m := s.members[i]
		if m.parent != f.fields || i == f.message {
			continue
		}
		w.json([]byte(separator))
		w.json(s.text[m.key.from-1 : m.value.to])
		separator = ","
	}
	if separator == "," {
		w.raw([]byte{'}'})
	}
}

// adds reports whether we add a member of that name to the line.
func (d *Decoder) adds(key []byte) bool {
	switch string(key) {
	case "kubernetes":
		return len(d.pod.member.escaped) > 0
	case "trace_id":
		return d.fields.trace.rank > 0
	case "xray_trace_id":
		return d.fields.trace.rank > 0 && !d.fields.hasXRay()
	case "span_id":
		return d.fields.span.rank > 0
	case "stream":
		return string(d.r.stream) == "stderr"
	case "metadata":
		return d.r.metadata != nil
	case "group", "group_metadata":
		return d.group != nil
	}
	return false
}

// writeIDs writes the trace and span ids that the top level lacks, and the trace
// id in X-Ray's format (AWS X-Ray, "Tracing header").
func (d *Decoder) writeIDs(wrote bool) {
	w, f := &d.w, &d.fields
	if t := f.trace.value; t != nil {
		if f.trace.root < 0 {
			d.writeComma(wrote)
			w.json([]byte(`"trace_id":"`))
			w.raw(t)
			w.json(quote)
			wrote = true
		}
		if !f.hasXRay() {
			d.writeComma(wrote)
			w.json([]byte(`"xray_trace_id":"1-`))
			w.raw(t[:8])
			w.raw([]byte{'-'})
			w.raw(t[8:])
			w.json(quote)
			wrote = true
		}
	}
	if f.span.value != nil && f.span.root < 0 {
		d.writeComma(wrote)
		w.json([]byte(`"span_id":"`))
		w.raw(f.span.value)
		w.json(quote)
	}
}

// writeMetadata writes the members that are not part of the line, and closes the
// message.
func (d *Decoder) writeMetadata() {
	w, first := &d.w, len(d.w.buf)
	opened := d.w.buf[first-1] == '{'
	if string(d.r.stream) == "stderr" {
		w.fragment(stderr)
	}
	if d.r.metadata != nil {
		text, _ := appendValue(nil, d.r.metadata, maxValueDepth)
		w.json([]byte(`,"metadata":`))
		w.json(d.redactedJSON(text))
	}
	for _, p := range d.r.others {
		d.writeRecordMember(p)
	}
	w.json(d.group)
	w.fragment(d.pod.member)
	w.raw([]byte{'}'})
	if opened && d.w.buf[first] == ',' { // no member is before it
		d.w.buf = append(d.w.buf[:first], d.w.buf[first+1:]...)
		w.size--
	}
}

var stderr = func() fragment {
	var w writer
	w.json([]byte(`,"stream":"stderr"`))
	return fragment{w.buf, w.size}
}()

// writeRecordMember writes a member that the record has beside its line. It omits
// one that the line has too, as after Merge_Log, and calls one with another value
// record.NAME.
func (d *Decoder) writeRecordMember(p keyValue) {
	key, _ := appendKey(nil, p.key)
	value, _ := appendValue(nil, p.value, maxValueDepth)
	key, value, ok := d.redactedMember(key, value)
	if !ok {
		return
	}
	name := key[1 : len(key)-1]
	differs := d.adds(name) || d.isText && (string(name) == "message" || string(name) == "time" || string(name) == "level" && d.r.level() != "")
	for _, root := range d.fields.roots {
		m := d.scan.members[root]
		if string(d.scan.bytes(m.key)) != string(name) {
			continue
		}
		if string(d.scan.bytes(m.value)) == string(value) {
			return
		}
		differs = true
	}
	if differs {
		key = append([]byte(`"record.`), key[1:]...)
	}
	d.w.raw([]byte{','})
	d.w.json(key)
	d.w.raw([]byte{':'})
	d.w.json(value)
}
