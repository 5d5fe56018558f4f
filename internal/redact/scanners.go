package redact

import "bytes"

// isLocal are the characters of the part before the @ that are not more often
// delimiters, and all beyond ASCII; isDomain those of a domain.
var (
	isLocal  = withForeign(setOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!$*+-_~^"))
	isDomain = withForeign(setOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"))
)

func withForeign(set [256]bool) [256]bool {
	for b := 0x80; b < len(set); b++ {
		set[b] = true
	}
	return set
}

// scanEmail finds e-mail addresses, also where the @ is percent-encoded.
func scanEmail(m *matches) {
	text := m.text
	done := 0 // the end of what was looked at: no byte is looked at twice
	for i := 0; i < len(text); i++ {
		at := i + 1
		switch {
		case text[i] == '@':
		case text[i] == '%' && bytes.HasPrefix(text[i:], []byte("%40")):
			at = i + 3
		default:
			continue
		}
		from, to := localStart(text, done, i), at
		for to < len(text) && isDomain[text[to]] {
			to++
		}
		if to = at + max(domainLength(text[at:to]), addressLength(text[at:])); from < i && to > at && !m.add(from, to) {
			return
		}
		done = at
		i = at - 1
	}
}

// localStart returns where the part before the @ begins. It may be in quotes, and have
// apostrophes inside words and percent-encoded characters that divide nothing.
func localStart(text []byte, done, at int) int {
	if at > done && text[at-1] == '"' {
		const longest = 64 // RFC 5321, section 4.5.3.1.1
		before := text[max(done, at-1-longest) : at-1]
		if open := bytes.LastIndexByte(before, '"'); open >= 0 && !bytes.ContainsAny(before[open+1:], "\r\n:,{}") {
			return at - 1 - len(before) + open
		}
		return at
	}
	from := at
	for from > done {
		switch c := text[from-1]; {
		case isLocal[c]:
		case c == '\'' && from < at && from-1 > done && isAlphanumeric(text[from]) && isAlphanumeric(text[from-2]):
		case c == '%' && isPlainEscape(text[from:at]):
		default:
			return from
		}
		from--
	}
	return from
}

// isPlainEscape reports whether the two digits behind a percent sign stand for a
// character of a name: + - . _ ' % ~ or a byte beyond ASCII.
func isPlainEscape(digits []byte) bool {
	if len(digits) < 2 || !isHexadecimal(digits[0]) || !isHexadecimal(digits[1]) {
		return false
	}
	switch string([]byte{digits[0], lowerByte(digits[1])}) {
	case "2b", "2d", "2e", "5f", "5F", "27", "25", "7e":
		return true
	}
	return digits[0] >= '8'
}

func isHexadecimal(c byte) bool { return isDigit(c) || lowerByte(c) >= 'a' && lowerByte(c) <= 'f' }

// addressLength returns the length of the address of a host in brackets, or 0.
func addressLength(text []byte) int {
	const longest = 54 // of [IPv6:…]
	if len(text) == 0 || text[0] != '[' {
		return 0
	}
	end := bytes.IndexByte(text[:min(len(text), longest)], ']')
	if end < 4 || !bytes.ContainsAny(text[1:end], ".:") {
		return 0
	}
	for _, c := range bytes.TrimPrefix(text[1:end], []byte("IPv6:")) {
		if !isHexadecimal(c) && c != '.' && c != ':' {
			return 0
		}
	}
	return end + 1
}

// domainLength returns the length of the domain at the beginning of a text, or 0: it has
// a point and ends with a label of two letters or more.
func domainLength(text []byte) int {
	for {
		text = bytes.TrimRight(text, ".-")
		dot := bytes.LastIndexByte(text, '.')
		if dot <= 0 {
			return 0
		}
		if label := text[dot+1:]; len(label) >= 2 && !isDigit(label[0]) {
			return len(text)
		}
		text = text[:dot]
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlphanumeric(c byte) bool {
	return isDigit(c) || lowerByte(c) >= 'a' && lowerByte(c) <= 'z'
}

// accessKeyID is the length of the id of an access key (IAM, "Unique identifiers").
const accessKeyID = 20

var accessKeyPrefixes = [][]byte{[]byte("AKIA"), []byte("ASIA"), []byte("ABIA"), []byte("ACCA")}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' || isDigit(c) }

// scanAccessKeys finds the ids of access keys, also inside a longer word.
func scanAccessKeys(m *matches) {
	text := m.text
	for i := 0; i+accessKeyID <= len(text); i++ {
		if text[i] != 'A' {
			continue
		}
		for _, prefix := range accessKeyPrefixes {
			if !bytes.HasPrefix(text[i:], prefix) {
				continue
			}
			end := i
			for end < len(text) && isUpper(text[end]) {
				end++
			}
			if end-i >= accessKeyID && !m.add(i, end) {
				return
			}
			i = end - 1
			break
		}
	}
}

var (
	pemBegin  = []byte("BEGIN")
	pemDashes = []byte("----")
)

// maxLabel is how long the label of a private key is at most.
const maxLabel = 60

// scanPrivateKeys finds private keys in PEM (RFC 7468) and in the form of SSH2 (RFC 4716),
// from their first line to the last one with the same label, or to the end of the text if
// it was cut. Spaces may be percent-encoded or plus signs.
func scanPrivateKeys(m *matches) {
	text := m.text
	for at := 0; ; {
		word := bytes.Index(text[at:], pemBegin)
		if word < 0 {
			return
		}
		begin := at + word
		at = begin + len(pemBegin)
		label := text[at:min(at+maxLabel, len(text))]
		if dash := bytes.IndexByte(label, '-'); dash >= 0 {
			label = label[:dash]
		}
		before := bytes.TrimRight(text[max(0, begin-len(pemDashes)-1):begin], " ")
		if !bytes.HasSuffix(before, pemDashes) || !bytes.Contains(label, []byte("PRIVATE")) || !bytes.Contains(label, []byte("KEY")) {
			continue
		}
		from := len(bytes.TrimRight(text[:begin], " -"))
		for text[from] == ' ' {
			from++
		}
		end := len(text)
		if last := bytes.Index(text[at:], append([]byte("END"), label...)); last >= 0 {
			end = at + last + len("END") + len(label)
			at = end // the dashes behind the label may begin another key
			for dashes := min(end+5, len(text)); end < dashes && text[end] == '-'; {
				end++
			}
		}
		if !m.add(from, end) || end == len(text) {
			return
		}
	}
}

var endsURL = setOf(" \t\r\n\"'`<>\\")

// scanQueries finds what follows the question mark of a URL or of a path, as far as a
// fragment. It takes a word with a slash before its question mark for one.
func scanQueries(m *matches) {
	text := m.text
	slash := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case endsURL[c]:
			slash = false
		case c == '/':
			slash = true
		case c == '?' && slash:
			from, to := i+1, i+1
			for n := urlAt(text, to); n > 0; n = urlAt(text, to) {
				to += n
			}
			if from < to && !m.add(from, to) {
				return
			}
			i = to - 1
		}
	}
}

// urlAt returns how many bytes of a query stand here: 0 if it ends. An apostrophe in a
// word and an escape of JSON, such as \u0026 for &, are part of it.
func urlAt(text []byte, i int) int {
	switch {
	case i == len(text) || text[i] == '#':
		return 0
	case !endsURL[text[i]]:
		return 1
	case text[i] == '\'' && i+1 < len(text) && isAlphanumeric(text[i-1]) && isAlphanumeric(text[i+1]):
		return 1
	case text[i] == '\\':
		n := 1
		for i+n < len(text) && text[i+n] == '\\' {
			n++
		}
		if hasAt(text, i+n, "u00") || hasAt(text, i+n, "/") {
			return n
		}
	}
	return 0
}

// scanURL finds the query of a text that is one URL, whatever characters it has.
func scanURL(m *matches) {
	from := bytes.IndexByte(m.text, '?') + 1
	to := len(m.text)
	if fragment := bytes.IndexByte(m.text[from:], '#'); fragment >= 0 {
		to = from + fragment
	}
	if from > 0 && from < to {
		m.add(from, to)
	}
}
