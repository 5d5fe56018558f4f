package record

import (
	"bytes"

	"github.com/nova/novawire/fluentbit/msgpack"
)

// recordFields is what a record's map holds, as far as it is known.
type recordFields struct {
	at         int64
	line       []byte // text of the key log
	hasLine    bool
	kubernetes []byte
	stream     []byte // stdout or stderr
	time       []byte // as the container's runtime wrote it
	isPartial  bool   // the runtime cut the line, and the rest follows
	hasTag     bool   // the runtime's mark was there
	body       []byte // the whole map
	metadata   []byte // of the record, nil where it is empty
	others     []keyValue
}

type keyValue struct{ key, value []byte } // MessagePack

func (r *recordFields) reset(at int64) {
	*r = recordFields{at: at, others: r.others[:0]}
}

// read takes the map apart. The keys are those of Fluent Bit's tail input, its
// cri parsers and its kubernetes filter; what has none of their shapes, or comes
// again, is kept with the others.
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
		if len(name) == len("kubernetes") { // the other is for grep: of the namespace, not of the line
			r.kubernetes = value
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
	case "_p": // of the multiline parser, which has joined what it marks
	default:
		return false
	}
	return true
}

// writeRecord writes what was read.
func (d *Decoder) writeRecord() {
	r := &d.r
	if r.kubernetes != nil && !bytes.Equal(r.kubernetes, d.previousKubernetes) {
		d.previousKubernetes, d.pod = r.kubernetes, d.Pods.of(r.kubernetes, d.tag)
	} else if r.kubernetes == nil {
		d.previousKubernetes, d.pod = nil, d.podOfTag
	}
	if !r.hasLine {
		d.writeWithoutLine()
		return
	}
	r.line = trimLineEnd(r.line)
	if r.stream == nil && r.time == nil {
		r.parseRuntimeFormat()
	}
	if d.joinPartial() {
		return
	}
	d.writeLine(r.line)
}

func trimLineEnd(line []byte) []byte {
	line, _ = bytes.CutSuffix(line, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	return line
}

// parseRuntimeFormat takes the runtime's own format apart, where no parser did (Kubernetes
// CRI logging: TIME STREAM TAG LINE).
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

// writeWithoutLine writes a record without a line: its members are the event, all but those
// of the kubernetes filter.
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

// isFilterMember tells what the kubernetes filter adds.
func isFilterMember(name, value []byte) bool {
	h, _ := msgpack.Next(value)
	return h.Kind == msgpack.Map && (string(name) == "kubernetes" || string(name) == "kubernetes_namespace")
}
