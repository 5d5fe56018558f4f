package wire

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/sidecar/ledger"
)

// Redactor redacts requests, one after the other. It is not for concurrent use.
type Redactor struct {
	rules    *redact.Redactor
	compiled *redact.Rules
	readable *redact.Redactor // for attributes of origin; nil if every rule can be read
	own      []string

	request []byte
	limit   int    // of what is written; 0 for none
	over    bool   // the limit was exceeded: what was written is of no use
	to      []byte // the request without secrets, as far as it was written
	copied  int    // how much of the request was written or left out
	around  []length
	scratch []byte
	digits  []byte
}

// length is the length of a message around what is at hand: where it stands in the
// request and, as soon as something in the message has changed, in what is written.
type length struct{ at, width, to int }

// NewRedactor returns a redactor with the rules, or nil without rules. own are keys of
// attributes of resources that say where telemetry comes from, beside those of services
// and of Kubernetes.
func NewRedactor(rules *redact.Rules, own ...string) *Redactor {
	if rules == nil {
		return nil
	}
	return &Redactor{rules: rules.Redactor(), compiled: rules, readable: rules.Readable().Redactor(), own: own}
}

// Redact returns the request without what the rules redact, and how often each did so. If
// none did, it returns the request itself. The result is valid until the next call. [Scan]
// must have accepted the request.
//
// Every text and every bytes value is looked at, and numbers that stand in attributes and
// bodies. A field of a later version of OTLP is left out as a whole if a rule matches in
// it, or cannot be read: nobody knows its form. The ids of traces and spans stay.
func (r *Redactor) Redact(signal ledger.Signal, request []byte) ([]byte, redact.Counts) {
	redacted, counts, _ := r.RedactWithin(signal, request, 0)
	return redacted, counts
}

// RedactWithin is [Redactor.Redact] with a limit of what is written, which bounds its
// memory. It reports false, without a result, for a request that would be longer.
func (r *Redactor) RedactWithin(signal ledger.Signal, request []byte, limit int) ([]byte, redact.Counts, bool) {
	r.request, r.to, r.copied, r.around = request, r.to[:0], 0, r.around[:0]
	r.limit, r.over = limit, false
	r.rules.Counts = redact.Counts{}
	r.walk(requests[signal], redact.Key{}, 0, len(request))
	if r.rules.Counts == (redact.Counts{}) {
		return request, redact.Counts{}, true
	}
	if r.write(len(request)); r.over {
		return nil, redact.Counts{}, false
	}
	return r.to, r.rules.Counts, true
}

// Release gives up large buffers, also those of the rules, which a long text needs.
func (r *Redactor) Release() {
	const keep = 256 << 10
	if len(r.request) > keep {
		r.rules, r.readable = r.compiled.Redactor(), r.compiled.Readable().Redactor()
	}
	if r.request = nil; cap(r.to) > keep {
		r.to = nil
	}
	if cap(r.scratch) > keep {
		r.scratch = nil
	}
}

// walk redacts the fields of a message. key is what the rules say about the key whose
// value the message is.
func (r *Redactor) walk(m *message, key redact.Key, from, end int) {
	for at := from; at < end && !r.over; {
		start := at
		number, wireType, n := consumeTag(r.request[at:end])
		at += n
		f := m.field(number)
		if wireType != protowire.BytesType {
			from := at
			at += skipValue(number, wireType, r.request[at:end])
			switch {
			case f.kind == unknown && r.rules.ClosedKeys():
				r.skip(start, at)
			case m == anyValue && f.kind != unknown:
				r.number(number, start, from, at)
			}
			continue
		}
		size, n := consumeLength(r.request[at:end])
		value := at + n
		stop := value + int(size) //nolint:gosec // within the request
		switch {
		case f.to == keyValue && m == resource && r.isOrigin(r.request[value:stop]):
			r.originPair(start, at, value, stop)
		case f.to == keyValue:
			r.pair(start, at, value, stop)
		case f.to != nil:
			r.enter(at, n)
			r.walk(f.to, key, value, stop)
			r.leave(stop)
		default:
			r.text(m, f, key, element{number: number, value: r.request[value:stop]}, start, stop)
		}
		at = stop
	}
}

// text redacts the value of a field that has a length and is no message.
func (r *Redactor) text(m *message, f *field, key redact.Key, e element, start, stop int) {
	var verdict redact.Verdict
	switch {
	case m == keyValue && f.kind == text:
		r.scratch, verdict = r.rules.KeyName(r.scratch[:0], e.value)
	case m == anyValue && f.kind != unknown, f.free:
		r.scratch, verdict = r.rules.Value(r.scratch[:0], key, e.value)
	case f.kind == text:
		r.scratch, verdict = r.rules.Name(r.scratch[:0], e.value)
	case f.kind == unknown && r.isUnfit(e.value):
		r.skip(start, stop)
	}
	switch verdict {
	case redact.Changed:
		r.replace(start, stop, e.number, r.scratch)
	case redact.Drop: // no attribute that could be left out
		r.replace(start, stop, e.number, []byte(redact.Masked))
	case redact.Keep:
	}
}

// number redacts a number of an AnyValue. One that is to be dropped is masked: what could be
// left out was left out by pair.
func (r *Redactor) number(number protowire.Number, start, from, stop int) {
	decimal := r.decimal(int(number), r.request[from:stop])
	if decimal == nil {
		if r.rules.ClosedTexts() {
			r.replace(start, stop, 1, []byte(redact.Masked))
		}
		return
	}
	var verdict redact.Verdict
	r.scratch, verdict = r.rules.NumberText(r.scratch[:0], decimal)
	switch verdict {
	case redact.Changed:
		r.replace(start, stop, 1, r.scratch)
	case redact.Drop:
		r.replace(start, stop, 1, []byte(redact.Masked))
	case redact.Keep:
	}
}

// The numbers of an AnyValue.
const intValue, doubleValue = 3, 4

// decimal returns a number as people write it: an integer, also one in floating point,
// which cannot hold larger ones exactly. It returns nil for any other.
func (r *Redactor) decimal(number int, value []byte) []byte {
	switch number {
	case intValue:
		v, _ := protowire.ConsumeVarint(value)
		r.digits = strconv.AppendInt(r.digits[:0], int64(v), 10) //nolint:gosec // two's complement
	case doubleValue:
		bits, _ := protowire.ConsumeFixed64(value)
		v := math.Float64frombits(bits)
		if math.Abs(v) > 1<<53 || v != math.Trunc(v) {
			return nil
		}
		r.digits = strconv.AppendInt(r.digits[:0], int64(v), 10)
	default:
		return nil
	}
	return r.digits
}

// pair redacts an attribute: as a whole if its key says so, else what it holds. It begins
// at start with its tag, has its length at lengthAt, and its fields from there on.
func (r *Redactor) pair(start, lengthAt, from, stop int) {
	name, value := lastField(r.request[from:stop], 1), []byte(nil)
	key := r.rules.Key(name)
	whole, drop := key.Whole()
	if whole || r.rules.DropsValues() {
		value = lastField(r.request[from:stop], 2)
	}
	switch {
	case drop:
		r.rules.CountDrop(key)
		r.skip(start, stop)
	case whole:
		r.replaceValue(start, lengthAt, from, stop, key, value)
	case value != nil && r.drops(key, value):
		r.skip(start, stop)
	default:
		r.enter(lengthAt, from-lengthAt)
		r.walk(keyValue, key, from, stop)
		r.leave(stop)
	}
}

// drops reports whether a rule drops the AnyValue of a key because of what it holds.
func (r *Redactor) drops(key redact.Key, value []byte) bool {
	if text := lastText(value); text != nil {
		return r.rules.Drops(key, text)
	}
	decimal := r.lastDecimal(value)
	return decimal != nil && r.rules.Drops(redact.Key{}, decimal)
}

// replaceValue writes an attribute with another value.
func (r *Redactor) replaceValue(start, lengthAt, from, stop int, key redact.Key, value []byte) {
	var pair []byte
	for f := range fieldsOf(r.request[from:stop]) {
		if f.number == 2 {
			continue
		}
		if f.number == 1 {
			if redacted, verdict := r.rules.KeyName(nil, f.value); verdict == redact.Changed {
				pair = appendBytes(pair, 1, redacted)
				continue
			}
		} else if keyValue.field(f.number).kind == unknown && r.isUnfit(f.value) {
			continue
		}
		pair = append(pair, f.whole...)
	}
	pair = appendBytes(pair, 2, appendBytes(nil, 1, r.rules.AppendWhole(nil, key, r.content(value))))
	r.skip(start, stop)
	r.to = append(r.to, r.request[start:lengthAt]...)
	r.to = protowire.AppendBytes(r.to, pair)
}

// lastField returns the last field of a number, which counts for protobuf.
func lastField(message []byte, wanted protowire.Number) (value []byte) {
	for at := 0; at < len(message); {
		number, wireType, n := consumeTag(message[at:])
		at += n
		if wireType != protowire.BytesType {
			at += skipValue(number, wireType, message[at:])
			continue
		}
		size, n := consumeLength(message[at:])
		at += n + int(size) //nolint:gosec // within the message
		if number == wanted {
			value = message[at-int(size) : at] //nolint:gosec // within the message
		}
	}
	return value
}

// lastText returns the text or the bytes of an AnyValue, which hold them in its fields 1 and 7.
func lastText(value []byte) []byte {
	if text := lastField(value, 1); text != nil {
		return text
	}
	return lastField(value, 7)
}

// content returns what is hashed of an AnyValue: a text itself, a number in decimal, and
// anything else in its wire form.
func (r *Redactor) content(value []byte) []byte {
	if text := lastText(value); text != nil {
		return text
	}
	if decimal := r.lastDecimal(value); decimal != nil {
		return decimal
	}
	return value
}

// lastDecimal returns the number of an AnyValue as [Redactor.decimal] does, or nil.
func (r *Redactor) lastDecimal(value []byte) (decimal []byte) {
	for f := range fieldsOf(value) {
		_, _, tag := consumeTag(f.whole)
		if n := r.decimal(int(f.number), f.whole[tag:]); n != nil {
			decimal = n
		}
	}
	return decimal
}

// enter begins a message, whose length stands at a place of the request.
func (r *Redactor) enter(at, width int) { r.around = append(r.around, length{at, width, -1}) }

// leave ends a message: if something in it has changed, its length is set.
func (r *Redactor) leave(end int) {
	l := r.around[len(r.around)-1]
	if l.to >= 0 {
		r.write(end)
	}
	r.around = r.around[:len(r.around)-1]
	if l.to < 0 {
		return
	}
	content := l.to + l.width
	size := uint64(len(r.to) - content)
	if width := protowire.SizeVarint(size); width > l.width {
		r.to = append(r.to, make([]byte, width-l.width)...)
		copy(r.to[l.to+width:], r.to[content:])
	} else if width < l.width {
		r.to = append(r.to[:l.to+width], r.to[content:]...)
	}
	protowire.AppendVarint(r.to[l.to:l.to], size)
}

// write copies the request up to a place.
func (r *Redactor) write(upTo int) {
	if r.over {
		return
	}
	for i := range r.around {
		if l := &r.around[i]; l.to < 0 {
			l.to = len(r.to) + l.at - r.copied
		}
	}
	r.to = append(r.to, r.request[r.copied:upTo]...)
	r.copied = upTo
	r.over = r.limit > 0 && len(r.to) > r.limit
}

// skip leaves a field out.
func (r *Redactor) skip(start, stop int) {
	r.write(start)
	r.copied = stop
}

// replace writes another text in the place of a field.
func (r *Redactor) replace(start, stop int, number protowire.Number, content []byte) {
	r.skip(start, stop)
	r.to = appendBytes(r.to, number, content)
}
