package redact

import (
	"hash/maphash"
	"strings"
	"unicode/utf8"

	"github.com/nova/novawire/api/redaction"
)

// keyRule redacts the values of the keys that a glob or a preset names.
type keyRule struct {
	target
	glob  string                // in lower case
	match func(key string) bool // of a preset
}

// Key is what the rules say about a key.
type Key struct {
	whole *target // nil: the value is not redacted because of its key
	isSQL bool
	isURL bool
	// isLiteral says that all of the value is a literal of a query that is JSON.
	isLiteral bool
}

// Whole reports whether the value is redacted as a whole, and whether it is dropped
// with its key.
func (k Key) Whole() (whole, drop bool) {
	return k.whole != nil, k.whole != nil && k.whole.action == redaction.Drop
}

// decided remembers a key: most keys come again and again.
type decided struct {
	key   string
	found bool
	Key
	clean bool // the key itself holds nothing to redact
}

// maxRemembered bounds what a remembered key takes.
const maxRemembered = 96

// Key returns what the rules say about a key.
func (r *Redactor) Key(key []byte) Key { return r.decide(key).Key }

func (r *Redactor) decide(key []byte) *decided {
	d := &r.decided[maphash.Bytes(r.seed, key)%uint64(len(r.decided))]
	if d.found && d.key == string(key) {
		return d
	}
	fresh := decided{Key: r.keyOf(lower(string(key))), clean: len(r.find(key)) == 0}
	if len(key) > maxRemembered {
		return &fresh
	}
	fresh.key, fresh.found = string(key), true
	*d = fresh
	return d
}

func (r *Rules) keyOf(key string) (k Key) {
	for i := range r.keys {
		rule := &r.keys[i]
		if rule.match != nil && rule.match(key) || rule.match == nil && matchesGlob(rule.glob, key) {
			k.whole = &rule.target
			break
		}
	}
	if k.whole == nil {
		k.whole = r.allKeys
	}
	k.isSQL = r.sql != nil && isSQLKey(key)
	k.isURL = r.url != nil && isURLKey(key)
	return k
}

// AppendWhole appends what stands in the place of the value of a key, and counts it.
func (r *Redactor) AppendWhole(to []byte, k Key, content []byte) []byte {
	r.Counts[k.whole.name]++
	return r.appendInstead(to, k.whole, content)
}

// CountDrop counts a value that is dropped with its key.
func (r *Redactor) CountDrop(k Key) { r.Counts[k.whole.name]++ }

// matchesGlob reports whether a glob matches: * stands for any text, ? for a character.
// What stands between two stars is taken where it comes first, so that the text is read
// once, and a few times where there is a question mark.
func matchesGlob(glob, text string) bool {
	part, glob, hasStar := strings.Cut(glob, "*")
	n := prefixLength(part, text)
	if n < 0 || !hasStar {
		return n == len(text)
	}
	for text = text[n:]; ; {
		if part, glob, hasStar = strings.Cut(glob, "*"); !hasStar {
			return endsWithPart(text, part)
		}
		if text, hasStar = behindPart(text, part); !hasStar {
			return false
		}
	}
}

// prefixLength returns the length of what matches a part without stars at the beginning of
// a text, or -1.
func prefixLength(part, text string) int {
	at := 0
	for i := range len(part) {
		switch {
		case at == len(text):
			return -1
		case part[i] == '?':
			_, size := utf8.DecodeRuneInString(text[at:])
			at += size
		case part[i] == text[at]:
			at++
		default:
			return -1
		}
	}
	return at
}

// behindPart returns the text behind the first place where a part without stars matches.
func behindPart(text, part string) (rest string, ok bool) {
	if strings.IndexByte(part, '?') < 0 {
		_, rest, ok = strings.Cut(text, part)
		return rest, ok
	}
	for at := range text {
		if n := prefixLength(part, text[at:]); n >= 0 {
			return text[at+n:], true
		}
	}
	return "", false
}

// endsWithPart reports whether a part without stars matches at the end of a text.
func endsWithPart(text, part string) bool {
	for i := len(part) - 1; i >= 0; i-- {
		switch {
		case text == "":
			return false
		case part[i] == '?':
			_, size := utf8.DecodeLastRuneInString(text)
			text = text[:len(text)-size]
		case part[i] == text[len(text)-1]:
			text = text[:len(text)-1]
		default:
			return false
		}
	}
	return true
}

// lower returns a text in lower case.
func lower(text string) string {
	if i := strings.IndexFunc(text, func(c rune) bool { return c >= utf8.RuneSelf }); i >= 0 {
		return strings.ToLower(text)
	}
	lowered := []byte(text)
	for i, c := range lowered {
		lowered[i] = lowerByte(c)
	}
	return string(lowered)
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}
