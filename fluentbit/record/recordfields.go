package record

import (
	"bytes"

	"github.com/nova/novawire/fluentbit/msgpack"
)

// recordFields are the members of a record's map that have a meaning.
type recordFields struct {
	at         int64
	line       []byte // value of the key log
	hasLine    bool
	kubernetes []byte // of the kubernetes filter
	namespace  []byte // of the kubernetes filter, about the namespace
	stream     []byte // stdout or stderr
	time       []byte // written by the container's runtime
	isPartial  bool   // the runtime cut the line and the next record continues it
	hasTag     bool   // the runtime's mark is present
	body       []byte // the whole map
	metadata   []byte // of the record; nil if empty
	others     []keyValue
}

type keyValue struct{ key, value []byte } // MessagePack

func (r *recordFields) reset(at int64) {
	*r = recordFields{at: at, others: r.others[:0]}
}

// read takes the members of a record's map. The known keys are those of Fluent
// Bit's tail input, its cri parsers and its kubernetes filter. A member of
// another shape, or with a key that was there before, goes to others.
func (r *recordFields) read(body []byte) {
	r.body = body
	h, rest := msgpack.Next(body)
	for range h.N {
		key := rest
		value, _ := msgpack.Skip(key)
		rest, _ = msgpack.Skip(value)
		if name, _, ok := msgpack.Text(key); !ok || !r.takeMember(name, value[:len(value)-len(rest)]) {
			r.others = append(r.others, keyValue{key[:len(key)-len(value)], value[:len(value)-len(rest)]})
		}
	}
}

func (r *recordFields) takeMember(name, value []byte) bool {
	if isFilterMember(name, value) {
		if string(name) == "kubernetes" {
			r.kubernetes = value
		} else {
			r.namespace = value
		}
		return true
	}
	text, _, ok := msgpack.Text(value)
	if !ok {
		return false
	}
	switch string(name) {
	case "log":
		if r.hasLine {
			return false
		}
		r.line, r.hasLine = text, true
	case "stream":
		if r.stream != nil || string(text) != "stdout" && string(text) != "stderr" {
			return false
		}
		r.stream = text
	case "time":
		if r.time != nil {
			return false
		}
		r.time = text
	case "logtag":
		r.isPartial, r.hasTag = string(text) == "P", true
	case "_p": // the multiline parser has joined the lines that it marks
	default:
		return false
	}
	return true
}

// writeRecord writes the event of the record that was read.
func (d *Decoder) writeRecord() {
	r := &d.r
	if r.kubernetes == nil {
		d.previous, d.pod = source{}, d.podOfTag
	} else if !bytes.Equal(r.kubernetes, d.previous.kubernetes) || !bytes.Equal(r.namespace, d.previous.namespace) {
		d.previous = source{r.kubernetes, r.namespace, d.tag}
		d.pod = d.Pods.of(d.previous, d.now)
	}
	if !r.hasLine {
		d.writeWithoutLine()
		return
	}
	r.line = trimLineEnd(r.line)
	if r.stream == nil && r.time == nil {
		r.parseRuntimeFormat()
	}
	if d.joinPartial() || d.joinContinuation() {
		return
	}
	d.writeLine(r.line)
}

func trimLineEnd(line []byte) []byte {
	line, _ = bytes.CutSuffix(line, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	return line
}

// parseRuntimeFormat reads the runtime's own format if no parser has done so
// (Kubernetes CRI logging: TIME STREAM TAG LINE).
func (r *recordFields) parseRuntimeFormat() {
	at, rest, _ := bytes.Cut(r.line, []byte(" "))
	stream, rest, _ := bytes.Cut(rest, []byte(" "))
	tags, line, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(at) < len("2026-11-23T00:00:00Z") || at[4] != '-' || at[10] != 'T' {
		return
	}
	tag, _, _ := bytes.Cut(tags, []byte(":"))
	if s := string(stream); s != "stdout" && s != "stderr" || string(tag) != "P" && string(tag) != "F" {
		return
	}
	r.time, r.stream, r.line, r.isPartial, r.hasTag = at, stream, line, string(tag) == "P", true
}

// writeWithoutLine writes a record without a line. Its members become the event,
// except those of the kubernetes filter.
func (d *Decoder) writeWithoutLine() {
	d.scratch = append(d.scratch[:0], '{')
	h, rest := msgpack.Next(d.r.body)
	for range h.N {
		key := rest
		value, _ := msgpack.Skip(key)
		rest, _ = msgpack.Skip(value)
		if name, _, ok := msgpack.Text(key); ok && isFilterMember(name, value) {
			continue
		}
		if len(d.scratch) > 1 {
			d.scratch = append(d.scratch, ',')
		}
		d.scratch, _ = appendKey(d.scratch, key)
		d.scratch, _ = appendValue(append(d.scratch, ':'), value, maxValueDepth)
	}
	d.scratch = append(d.scratch, '}')
	d.r = recordFields{at: d.r.at, metadata: d.r.metadata, others: d.r.others[:0]}
	d.writeMessage(d.scratch)
}

// isFilterMember reports whether the kubernetes filter added the member.
func isFilterMember(name, value []byte) bool {
	h, _ := msgpack.Next(value)
	return h.Kind == msgpack.Map && (string(name) == "kubernetes" || string(name) == "kubernetes_namespace")
}
