package record

import "bytes"

// role says which object a member's value is: the search looks into some of them.
type role uint8

const (
	other role = iota
	top
	eventFields   // of the event, in tracing-subscriber's nested form
	currentSpan   // "span": the innermost span
	spans         // "spans": root to leaf
	openTelemetry // ids as the json-subscriber crate writes them
)

// lineFields holds what one pass over the members of a line finds.
type lineFields struct {
	roots    []int32 // indexes of the top-level members, in order
	renamed  []uint8 // by position in roots: how many times the prefix "fields." is added to the name
	fields   int32   // index of the member "fields", or -1
	message  int32   // index of the field "message" that moves to the top level, or -1
	trace    identifier
	span     identifier
	xray     []byte // value of the top-level member xray_trace_id
	level    []byte
	roles    []role
	tally    Tally
	isServer bool // otel.kind says that the span is the server's side of a call
	grpc     bool
}

// identifier is a trace or span id and where it was found.
type identifier struct {
	rank  uint8 // 0 if not found
	value []byte
	root  int32 // index of the top-level member with the name and form that we write, or -1
}

// ranks orders the places of ids: the top level, the object of json-subscriber,
// the event's fields, the current span, the spans from leaf to root.
var ranks = [...]uint8{top: 1, openTelemetry: 2, eventFields: 3, currentSpan: 4, spans: 5}

// scan reads each member once.
func (f *lineFields) scan(s *scanner) {
	f.reset(len(s.members))
	for i, m := range s.members {
		in := top
		if m.parent >= 0 {
			in = f.roles[m.parent]
		}
		if in == other {
			continue
		}
		key := s.bytes(m.key)
		switch in {
		case top:
			f.roots = append(f.roots, int32(i))
			f.readTopMember(s, int32(i), key)
		case spans:
			if m.depth == 1 { // an element of the array: a span
				f.roles[i] = spans
				continue
			}
		case eventFields:
			if m.depth == 1 && string(key) == "message" {
				f.message = int32(i)
			}
		default: // what the member itself is decides
		}
		f.readMember(s, in, int32(i), key)
	}
}

func (f *lineFields) reset(members int) {
	*f = lineFields{roots: f.roots[:0], renamed: f.renamed[:0], fields: -1, message: -1, roles: f.roles}
	if cap(f.roles) < members {
		f.roles = make([]role, members, 2*members)
	}
	f.roles = f.roles[:members]
	clear(f.roles)
}

// readTopMember assigns roles to top-level members.
func (f *lineFields) readTopMember(s *scanner, i int32, key []byte) {
	switch m := &s.members[i]; string(key) {
	case "level":
		if f.level == nil && m.kind == '"' {
			f.level = unquoted(s.bytes(m.value))
		}
	case "fields":
		if m.kind == '{' {
			f.roles[i], f.fields = eventFields, i
		}
	case "span":
		if m.kind == '{' {
			f.roles[i] = currentSpan
		}
	case "spans":
		if m.kind == '[' {
			f.roles[i] = spans
		}
	case "openTelemetry":
		if m.kind == '{' {
			f.roles[i] = openTelemetry
		}
	}
}

// readMember reads a member that has a known key.
func (f *lineFields) readMember(s *scanner, in role, i int32, key []byte) {
	m := &s.members[i]
	switch string(key) {
	case "trace_id", "traceId", "otel.trace_id", "xray_trace_id":
		if f.trace.offer(s, in, i, traceID(s.bytes(m.value)), "trace_id"); in == top && len(key) == len("xray_trace_id") {
			f.xray = unquoted(s.bytes(m.value))
		}
	case "span_id", "spanId", "otel.span_id":
		f.span.offer(s, in, i, spanID(s.bytes(m.value)), "span_id")
	case "otel.kind":
		f.isServer = f.isServer || bytes.EqualFold(unquoted(s.bytes(m.value)), []byte("server"))
	default:
		if in == top || in == eventFields {
			f.countField(key, s.bytes(m.value))
		}
	}
}

// offer keeps an id if its place ranks above that of the present one. Spans run
// from root to leaf, so the last of them wins.
func (d *identifier) offer(s *scanner, in role, i int32, value []byte, name string) {
	rank := ranks[in]
	if value == nil || d.rank != 0 && (rank > d.rank || rank == d.rank && in != spans) {
		return
	}
	*d = identifier{rank: rank, value: value, root: -1}
	if in == top && string(s.bytes(s.members[i].key)) == name && len(s.bytes(s.members[i].value)) == len(value)+2 {
		d.root = i
	}
}

// unquoted returns a JSON string without its quotes, and any other value
// unchanged.
func unquoted(value []byte) []byte {
	if len(value) >= 2 && value[0] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// traceID returns the 32 lower-case digits of a W3C trace id (Trace Context,
// section 3.2.2.3), also of one in X-Ray's format, or nil.
func traceID(value []byte) []byte {
	v := unquoted(value)
	if len(v) == 35 && v[0] == '1' && v[1] == '-' && v[10] == '-' {
		v = append(append(make([]byte, 0, 32), v[2:10]...), v[11:]...)
	}
	return parseHexID(v, 32)
}

// hasXRay reports whether the line contains its trace id in X-Ray's format.
func (f *lineFields) hasXRay() bool {
	t := f.trace.value
	return t != nil && len(f.xray) == 35 && string(f.xray[:2]) == "1-" && string(f.xray[2:10]) == string(t[:8]) && string(f.xray[11:]) == string(t[8:])
}

func spanID(value []byte) []byte { return parseHexID(unquoted(value), 16) }

func parseHexID(v []byte, digits int) []byte {
	if len(v) != digits {
		return nil
	}
	zero := true
	for _, c := range v {
		if !isHex(c) {
			return nil
		}
		zero = zero && c == '0'
	}
	if zero {
		return nil
	}
	return v
}

// maxComparedMembers is the number of top-level members up to which names are
// compared.
const maxComparedMembers = 64

// renameDuplicates finds top-level members of equal name. With flatten_event, a
// field of the event may have the name of a member that tracing-subscriber
// writes, and readers would take the wrong one. The subscriber writes timestamp
// and level before the fields, and the rest after them.
func (f *lineFields) renameDuplicates(s *scanner, added func(key []byte) bool) {
	f.renamed = f.renamed[:0]
	for range f.roots {
		f.renamed = append(f.renamed, 0)
	}
	for j, root := range f.roots {
		key := s.bytes(s.members[root].key)
		if f.trace.root == root && f.trace.rank > 0 || f.span.root == root && f.span.rank > 0 {
			continue // it is the id that we would write
		}
		if added(key) {
			f.renamed[j] = 1
		}
		if len(f.roots) > maxComparedMembers {
			continue
		}
		for i, before := range f.roots[:j] {
			m := s.members[before]
			if m.key.to-m.key.from != int32(len(key)) || string(s.bytes(m.key)) != string(key) {
				continue
			}
			if writtenAfterFields(key) {
				f.renamed[i]++
			} else {
				f.renamed[j]++
			}
		}
	}
}

func writtenAfterFields(key []byte) bool {
	switch string(key) {
	case "target", "filename", "line_number", "span", "spans", "threadName", "threadId":
		return true
	}
	return false
}
