// Package record decodes Fluent Bit's chunks into the events that CloudWatch Logs
// stores. It reads MessagePack in place and writes each message once, in the form
// that it has in a request.
//
// No shape of input is dropped. A line that is a JSON object keeps all its
// members; any other line becomes the text of a message; a record without a line
// becomes an object; bytes that are not a record are stored as base64.
package record

import (
	"strconv"

	"github.com/nova/novawire/fluentbit/msgpack"
	"github.com/nova/novawire/internal/redact"
)

// MaxMessage is the largest message in bytes: a million (API reference of
// PutLogEvents, "1 MB" in its narrower reading) without the 26 bytes that the
// service adds to each event. A longer message is divided into parts.
const MaxMessage = 1_000_000 - 26

// Event is one event of a chunk.
type Event struct {
	Time int64 // milliseconds since 1970
	Size int   // bytes of the message in UTF-8
	Pod  *Pod

	from, to int // of its entry in the chunk's body
	tally    int // index of its tally, or -1
}

// Chunk is a decoded chunk.
type Chunk struct {
	// Events are in the order of the records. Decoding the same chunk again gives
	// the same events.
	Events []Event
	// Undecodable counts bytes that are not records; an event contains them.
	Undecodable int
	// Panics counts records whose decoding panicked; an event contains each.
	Panics int
	// Redacted is how often each rule has redacted.
	Redacted redact.Counts

	body    []byte
	tallies []Tally
}

// Entry returns the event as an element of a request's logEvents. It is valid
// until the next call of Decode.
func (c *Chunk) Entry(e *Event) []byte { return c.body[e.from:e.to:e.to] }

// Tally returns what the event counts for.
func (c *Chunk) Tally(e *Event) Tally {
	if e.tally < 0 {
		return Tally{}
	}
	return c.tallies[e.tally]
}

// Decoder decodes one chunk at a time and reuses its memory.
type Decoder struct {
	Pods *Pods
	// Redact redacts the lines; nil for no rules.
	Redact *redact.Redactor

	chunk        Chunk
	w            writer
	scan         scanner
	fields       lineFields
	scratch      []byte
	now          int64
	tag          string
	previous     source     // of the previous record
	pod          *Pod       // the pod of the current record
	podOfTag     *Pod       // the pod that the tag names
	group        []byte     // members that the group adds to its records: JSON text with a leading comma
	partialLines []keptLine // cut by the runtime
	openLines    []keptLine // continued by lines that begin with a tab
	r            recordFields
	isText       bool // the line is not a JSON object
	restored     []byte
	cleanLine    []byte // without secrets
	cleanJSON    []byte // what is beside it
}

// Decode decodes a chunk. now, in milliseconds since 1970, is the time of events
// without one. The result is valid until the next call; data is not used after
// Decode returns.
func (d *Decoder) Decode(data []byte, tag string, now int64) *Chunk {
	d.chunk = Chunk{Events: d.chunk.Events[:0], body: d.chunk.body, tallies: d.chunk.tallies[:0]}
	d.w.buf, d.now, d.tag, d.group = d.chunk.body[:0], now, tag, nil
	d.partialLines, d.openLines = d.partialLines[:0], d.openLines[:0]
	if d.Redact != nil {
		d.Redact.Counts = redact.Counts{}
	}
	d.podOfTag = d.Pods.of(source{tag: tag}, now)
	d.previous, d.pod = source{}, d.podOfTag
	for len(data) > 0 {
		rest, ok := msgpack.Skip(data)
		if !ok {
			d.chunk.Undecodable += len(data)
			d.writeUndecodable("undecodable", data)
			break
		}
		d.decodeRecord(data[:len(data)-len(rest)])
		data = rest
	}
	d.flushLines()
	d.previous = source{} // it refers to data
	d.chunk.body = d.w.buf
	if d.Redact != nil {
		d.chunk.Redacted = d.Redact.Counts
	}
	return &d.chunk
}

// Memory returns roughly how many bytes the decoder keeps for the next chunk.
func (d *Decoder) Memory() int {
	return cap(d.chunk.body) + cap(d.scratch) + cap(d.restored) + cap(d.cleanLine) + cap(d.cleanJSON)
}

// decodeRecord decodes a record. After a panic of ours the record is stored as
// base64.
func (d *Decoder) decodeRecord(record []byte) {
	events, end := len(d.chunk.Events), len(d.w.buf)
	defer func() {
		if recover() == nil {
			return
		}
		d.chunk.Events, d.w.buf = d.chunk.Events[:events], d.w.buf[:end]
		d.chunk.Panics++
		d.writeUndecodable("undecodable", record)
	}()
	d.record(record)
}

// record reads [time, map], [[time, metadata], map], or any other value.
func (d *Decoder) record(b []byte) {
	h, rest := msgpack.Next(b)
	if h.Kind != msgpack.Array || h.N != 2 {
		d.r.reset(d.now)
		d.writeUnexpected(b)
		return
	}
	at, metadata, body := header(rest)
	if at.sec == groupStart || at.sec == groupEnd {
		d.groupMarker(at.sec == groupStart, metadata, body)
		return
	}
	ms, ok := at.milliseconds()
	if !ok {
		ms = d.now
	}
	d.r.reset(ms)
	if h, _ := msgpack.Next(body); h.Kind != msgpack.Map {
		d.writeUnexpected(b)
		return
	}
	if h, _ := msgpack.Next(metadata); h.Kind != msgpack.Map || h.N > 0 {
		d.r.metadata = metadata
	}
	d.r.read(body)
	d.writeRecord()
}

// header splits a record into its time, metadata and body.
func header(b []byte) (at timestamp, metadata, body []byte) {
	body, _ = msgpack.Skip(b)
	metadata = emptyMap
	h, inner := msgpack.Next(b)
	if h.Kind == msgpack.Array {
		if h.N == 0 {
			return timestamp{sec: lastSecond + 1}, metadata, body
		}
		b = inner
		if second, _ := msgpack.Skip(b); h.N > 1 {
			rest, _ := msgpack.Skip(second)
			metadata = second[:len(second)-len(rest)]
		}
	}
	at, ok := readTime(b)
	if !ok {
		at.sec = lastSecond + 1
	}
	return at, metadata, body
}

var emptyMap = []byte{0x80}

// groupMarker opens or closes a group. The content of the opening record, such as
// an OTLP resource and scope, is added to each record of the group.
func (d *Decoder) groupMarker(opens bool, metadata, body []byte) {
	d.group = nil
	if !opens {
		return
	}
	for _, m := range []struct {
		name  string
		value []byte
	}{{"group_metadata", metadata}, {"group", body}} {
		if h, _ := msgpack.Next(m.value); h.Kind == msgpack.Map && h.N == 0 {
			continue
		}
		d.group = append(d.group, `,"`+m.name+`":`...)
		value, _ := appendValue(nil, m.value, maxValueDepth)
		d.group = append(d.group, d.redactedJSON(value)...)
	}
}

// writeUnexpected stores a value that does not have the shape of a record.
func (d *Decoder) writeUnexpected(b []byte) {
	d.scratch, _ = appendValue(append(d.scratch[:0], `{"record":`...), b, maxValueDepth)
	d.scratch = append(d.scratch, '}')
	d.writeMessage(d.scratch)
}

// writeUndecodable stores bytes that cannot be read.
func (d *Decoder) writeUndecodable(name string, b []byte) {
	const limit = 600_000 // base64 makes it a third longer, which still fits one message
	for b = d.redacted(&d.cleanLine, b); len(b) > 0; {
		n := min(len(b), limit)
		text := appendBase64(append([]byte(nil), `{"`+name+`":`...), b[:n])
		d.r.reset(d.now)
		d.writeMessage(append(text, '}'))
		b = b[n:]
	}
}

// beginEntry starts the entry of an event.
func (d *Decoder) beginEntry(at int64) (from int) {
	from = len(d.w.buf)
	d.w.buf = append(d.w.buf, `{"timestamp":`...)
	d.w.buf = strconv.AppendInt(d.w.buf, at, 10)
	d.w.buf = append(d.w.buf, `,"message":"`...)
	d.w.size = 0
	return from
}

// endEntry completes the entry. It divides a message that is too long.
func (d *Decoder) endEntry(from int, at int64, pod *Pod, t Tally) {
	if d.w.size > MaxMessage {
		d.split(from, at, pod, t)
		return
	}
	d.w.buf = append(d.w.buf, `"}`...)
	e := Event{Time: at, Size: d.w.size, Pod: pod, from: from, to: len(d.w.buf), tally: -1}
	if t != (Tally{}) {
		e.tally = len(d.chunk.tallies)
		d.chunk.tallies = append(d.chunk.tallies, t)
	}
	d.chunk.Events = append(d.chunk.Events, e)
}
