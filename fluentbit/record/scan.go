package record

// member is a member of an object in a JSON text: its key without quotes, and its
// value. An element of an array is a member without a key.
type member struct {
	key, value span
	parent     int32 // index of the member that contains this one, or -1 at the top
	depth      uint8
	kind       byte // first byte of the value
}

type span struct{ from, to int32 }

// scanner checks that a text is JSON (RFC 8259) and finds the members of its
// upper levels in one pass.
type scanner struct {
	text    []byte
	at      int
	members []member
}

const (
	memberDepth = 3   // members of deeper objects are checked but not recorded
	maxDepth    = 128 // a deeper text does not count as JSON
)

// object reports whether a text is exactly one JSON object, and finds its
// members.
func (s *scanner) object(text []byte) bool {
	s.text, s.at, s.members = text, 0, s.members[:0]
	s.space()
	if s.at == len(text) || text[s.at] != '{' || !s.value(-1, 0) {
		return false
	}
	s.space()
	return s.at == len(text)
}

func (s *scanner) bytes(p span) []byte { return s.text[p.from:p.to] }

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) value(parent int32, depth uint8) bool {
	if s.at >= len(s.text) {
		return false
	}
	switch c := s.text[s.at]; c {
	case '"':
		return s.str()
	case '{':
		return s.list(parent, depth, '}')
	case '[':
		return s.list(parent, depth, ']')
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// list scans an object or array.
func (s *scanner) list(parent int32, depth uint8, end byte) bool {
	if depth >= maxDepth {
		return false
	}
	s.at++
	s.space()
	if s.at < len(s.text) && s.text[s.at] == end {
		s.at++
		return true
	}
	for {
		if !s.member(parent, depth, end == '}') {
			return false
		}
		s.space()
		if s.at == len(s.text) {
			return false
		}
		c := s.text[s.at]
		s.at++
		switch c {
		case end:
			return true
		case ',':
			s.space()
		default:
			return false
		}
	}
}

func (s *scanner) member(parent int32, depth uint8, keyed bool) bool {
	m := member{parent: parent, depth: depth}
	if keyed {
		m.key.from = int32(s.at) + 1
		if s.at == len(s.text) || s.text[s.at] != '"' || !s.str() {
			return false
		}
		m.key.to = int32(s.at) - 1
		s.space()
		if s.at == len(s.text) || s.text[s.at] != ':' {
			return false
		}
		s.at++
		s.space()
	}
	if s.at == len(s.text) {
		return false
	}
	index := int32(len(s.members))
	if depth < memberDepth {
		m.value.from, m.kind = int32(s.at), s.text[s.at]
		s.members = append(s.members, m)
	}
	if !s.value(index, depth+1) {
		return false
	}
	if depth < memberDepth {
		s.members[index].value.to = int32(s.at)
	}
	return true
}

// str scans a string, beginning with its quote.
func (s *scanner) str() bool {
	text := s.text
	for i := s.at + 1; i < len(text); i++ {
		switch c := text[i]; {
		case escapes[c] == 0:
		case c == '"':
			s.at = i + 1
			return true
		case c == '\\':
			n := escape(text[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		default:
			return false // a control character
		}
	}
	return false
}

// escape returns the length of an escape sequence, or 0 if it is invalid.
func escape(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(text) < 6 {
			return 0
		}
		for _, c := range text[2:6] {
			if !isHex(c) && (c < 'A' || c > 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isHex reports whether c is a lower-case hexadecimal digit.
func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' }

func (s *scanner) word(w string) bool {
	if len(s.text)-s.at < len(w) || string(s.text[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

func (s *scanner) number() bool {
	if s.text[s.at] == '-' {
		s.at++
	}
	leading := s.at
	if n := s.digits(); n == 0 || n > 1 && s.text[leading] == '0' {
		return false
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if s.digits() == 0 {
			return false
		}
	}
	if s.at < len(s.text) && s.text[s.at]|0x20 == 'e' {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		return s.digits() > 0
	}
	return true
}

func (s *scanner) digits() int {
	from := s.at
	for s.at < len(s.text) && isDigit(s.text[s.at]) {
		s.at++
	}
	return s.at - from
}
