package record

import (
	"bytes"

	"github.com/nova/novawire/fluentbit/msgpack"
)

// fieldsOfRecord is what a record's map holds, as far as it is known.
type fieldsOfRecord struct {
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
	others     []pair
}

type pair struct{ key, value []byte } // MessagePack

func (r *fieldsOfRecord) reset(at int64) {
	*r = fieldsOfRecord{at: at, others: r.others[:0]}
}

// read takes the map apart. The keys are those of Fluent Bit's tail input, its
// cri parsers and its kubernetes filter; what has none of their shapes, or comes
// again, is kept with the others.
func (r *fieldsOfRecord) read(body []byte) {
	r.body = body
	h, rest := msgpack.Next(body)
	for range h.N {
		key := rest
		value, _ := msgpack.Skip(key)
		rest, _ = msgpack.Skip(value)
		if name, _, ok := msgpack.Text(key); !ok || !r.take(name, value[:len(value)-len(rest)]) {
			r.others = append(r.others, pair{key[:len(key)-len(value)], value[:len(value)-len(rest)]})
		}
	}
}

func (r *fieldsOfRecord) take(name, value []byte) bool {
	if isFilters(name, value) {
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

// event writes what was read.
func (d *Decoder) event() {
	r := &d.r
	if r.kubernetes != nil && !bytes.Equal(r.kubernetes, d.before) {
		d.before, d.pod = r.kubernetes, d.Pods.of(r.kubernetes, d.tag)
	} else if r.kubernetes == nil {
		d.before, d.pod = nil, d.ofTag
	}
	if !r.hasLine {
		d.whole()
		return
	}
	r.line = trimEnd(r.line)
	if r.stream == nil && r.time == nil {
		r.raw()
	}
	if d.join() {
		return
	}
	d.lineEvent(r.line)
}

func trimEnd(line []byte) []byte {
	line, _ = bytes.CutSuffix(line, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	return line
}

// raw takes the runtime's own format apart, where no parser did (Kubernetes
// CRI logging: TIME STREAM TAG LINE).
func (r *fieldsOfRecord) raw() {
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

// whole writes a record without a line: its members are the event, all but those
// of the kubernetes filter.
func (d *Decoder) whole() {
	d.scratch = append(d.scratch[:0], '{')
	h, rest := msgpack.Next(d.r.body)
	for range h.N {
		key := rest
		value, _ := msgpack.Skip(key)
		rest, _ = msgpack.Skip(value)
		if name, _, ok := msgpack.Text(key); ok && isFilters(name, value) {
			continue
		}
		if len(d.scratch) > 1 {
			d.scratch = append(d.scratch, ',')
		}
		d.scratch, _ = appendKey(d.scratch, key)
		d.scratch, _ = appendValue(append(d.scratch, ':'), value, nested)
	}
	d.scratch = append(d.scratch, '}')
	d.r = fieldsOfRecord{at: d.r.at, metadata: d.r.metadata, others: d.r.others[:0]}
	d.message(d.scratch)
}

// isFilters tells what the kubernetes filter adds.
func isFilters(name, value []byte) bool {
	h, _ := msgpack.Next(value)
	return h.Kind == msgpack.Map && (string(name) == "kubernetes" || string(name) == "kubernetes_namespace")
}
