package record

import "unicode/utf8"

// lineEvent writes a line: as an object if it is one, else as text.
func (d *Decoder) lineEvent(line []byte) {
	if !utf8.Valid(line) {
		line, d.restored = validUTF8(line, d.restored[:0])
	}
	d.message(line)
}

// message writes an event from UTF-8 and the rest of the record.
func (d *Decoder) message(text []byte) {
	if d.isText = !d.scan.object(text); d.isText {
		d.text(text)
		return
	}
	d.found.find(&d.scan)
	from := d.begin(d.r.at)
	d.object()
	d.end(from, d.r.at, d.pod, d.found.settle(text))
}

// text writes what is not JSON, with the time that the runtime saw it: it has
// no other of that precision.
func (d *Decoder) text(text []byte) {
	from := d.begin(d.r.at)
	w := &d.w
	w.json([]byte(`{"message":`))
	w.str(text)
	if d.r.time != nil && utf8.Valid(d.r.time) {
		w.json([]byte(`,"time":`))
		w.str(d.r.time)
	}
	d.found.reset(0)
	d.surroundings()
	d.end(from, d.r.at, d.pod, textTally(text))
}

// object writes the members of a line as they are, in their order, but for three
// things: the message of a nested event comes out beside its fields, a field that
// has the name of something else is called fields.NAME, and ids are added.
func (d *Decoder) object() {
	s, f, w := &d.scan, &d.found, &d.w
	f.resolve(s, d.adds)
	w.plain([]byte{'{'})
	run := span{-1, -1} // members that are written as they are
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
			d.comma(wrote)
			d.nested()
			wrote = true
		case f.renamed[i] > 0:
			flush()
			d.comma(wrote)
			w.json(quote)
			for range f.renamed[i] {
				w.plain([]byte("fields."))
			}
			w.json(s.text[m.key.from:m.value.to])
			wrote = true
		case run.from < 0:
			d.comma(wrote)
			run = span{m.key.from - 1, m.value.to}
		default:
			run.to = m.value.to
		}
	}
	flush()
	d.ids(wrote)
	d.surroundings()
}

func (d *Decoder) comma(wrote bool) {
	if wrote {
		d.w.plain([]byte{','})
	}
}

func (d *Decoder) hasRoot(key string) bool {
	for _, root := range d.found.roots {
		if string(d.scan.bytes(d.scan.members[root].key)) == key {
			return true
		}
	}
	return false
}

// nested writes message and, if there are any, the other fields.
func (d *Decoder) nested() {
	s, f, w := &d.scan, &d.found, &d.w
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
		w.plain([]byte{'}'})
	}
}

// adds tells whether we write a member of that name to the line's own.
func (d *Decoder) adds(key []byte) bool {
	switch string(key) {
	case "kubernetes":
		return len(d.pod.shown.escaped) > 0
	case "trace_id":
		return d.found.trace.rank > 0
	case "xray_trace_id":
		return d.found.trace.rank > 0 && !d.found.hasXRay()
	case "span_id":
		return d.found.span.rank > 0
	case "stream":
		return string(d.r.stream) == "stderr"
	case "metadata":
		return d.r.metadata != nil
	case "group", "group_metadata":
		return d.group != nil
	}
	return false
}

// ids writes the trace's and the span's where the top level has them not, and
// the trace's once more as X-Ray writes it ("Tracing header", AWS X-Ray).
func (d *Decoder) ids(wrote bool) {
	w, f := &d.w, &d.found
	if t := f.trace.value; t != nil {
		if f.trace.root < 0 {
			d.comma(wrote)
			w.json([]byte(`"trace_id":"`))
			w.plain(t)
			w.json(quote)
			wrote = true
		}
		if !f.hasXRay() {
			d.comma(wrote)
			w.json([]byte(`"xray_trace_id":"1-`))
			w.plain(t[:8])
			w.plain([]byte{'-'})
			w.plain(t[8:])
			w.json(quote)
			wrote = true
		}
	}
	if f.span.value != nil && f.span.root < 0 {
		d.comma(wrote)
		w.json([]byte(`"span_id":"`))
		w.plain(f.span.value)
		w.json(quote)
	}
}

// surroundings writes what is not of the line, and closes the message.
func (d *Decoder) surroundings() {
	w, first := &d.w, len(d.w.buf)
	opened := d.w.buf[first-1] == '{'
	if string(d.r.stream) == "stderr" {
		w.ready(stderr)
	}
	if d.r.metadata != nil {
		text, _ := appendValue([]byte(`,"metadata":`), d.r.metadata, nested)
		w.json(text)
	}
	for _, p := range d.r.others {
		d.other(p)
	}
	w.json(d.group)
	w.ready(d.pod.shown)
	w.plain([]byte{'}'})
	if opened && d.w.buf[first] == ',' { // nothing was before it
		d.w.buf = append(d.w.buf[:first], d.w.buf[first+1:]...)
		w.size--
	}
}

var stderr = func() fragment {
	var w writer
	w.json([]byte(`,"stream":"stderr"`))
	return fragment{w.buf, w.size}
}()

// other writes a member that the record has beside its line. One that the line
// has too, as after Merge_Log, is left out; one that differs is called
// record.NAME.
func (d *Decoder) other(p pair) {
	key, _ := appendKey(nil, p.key)
	value, _ := appendValue(nil, p.value, nested)
	name := key[1 : len(key)-1]
	differs := d.adds(name) || d.isText && (string(name) == "message" || string(name) == "time")
	for _, root := range d.found.roots {
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
	d.w.plain([]byte{','})
	d.w.json(key)
	d.w.plain([]byte{':'})
	d.w.json(value)
}
