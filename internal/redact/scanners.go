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
		from, to := i, at
		for from > done && isLocal[text[from-1]] {
			from--
		}
		for to < len(text) && isDomain[text[to]] {
			to++
		}
		if to = at + domainLength(text[at:to]); from < i && to > at && !m.add(from, to) {
			return
		}
		done = at
		i = at - 1
	}
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

// The lengths of card numbers (ISO/IEC 7812).
const minCard, maxCard = 13, 19

// scanCards finds card numbers: 13 to 19 digits with Luhn's check digit that begin as
// the numbers of payment cards do, with 2 to 6. Groups of digits may be divided by single
// spaces or dashes. Digits inside a longer word or behind a decimal point are not looked at.
func scanCards(m *matches) {
	text := m.text
	for i := 0; i < len(text); i++ {
		if !isDigit(text[i]) {
			continue
		}
		end := i
		for end < len(text) && (isDigit(text[end]) || isDivider(text, end)) {
			end++
		}
		if digits := end - i; digits >= minCard && !scanGroups(m, i, end) {
			return
		}
		i = end
	}
}

func isDivider(text []byte, i int) bool {
	return (text[i] == ' ' || text[i] == '-') && isDigit(text[i-1]) && i+1 < len(text) && isDigit(text[i+1])
}

// scanGroups looks at each run of groups that may be a number. A number has 19 digits at
// most, so each group begins few of them.
func scanGroups(m *matches, from, end int) bool {
	text := m.text
	if from > 0 && (isAlphanumeric(text[from-1]) || text[from-1] == '.' && from > 1 && isDigit(text[from-2])) {
		from = nextGroup(text, from, end)
	}
	if end < len(text) && isAlphanumeric(text[end]) {
		for end > from && isDigit(text[end-1]) {
			end--
		}
		end = max(end-1, from)
	}
	for ; from < end; from = nextGroup(text, from, end) {
		if text[from] < '2' || text[from] > '6' {
			continue
		}
		if to := cardEnd(text, from, end); to > 0 && !m.add(from, to) {
			return false
		}
	}
	return true
}

func nextGroup(text []byte, from, end int) int {
	for from < end && isDigit(text[from]) {
		from++
	}
	return min(from+1, end)
}

// cardEnd returns the end of the longest number that begins a run of groups, or 0.
func cardEnd(text []byte, from, end int) (found int) {
	digits, sums := 0, [2]int{} // with every other digit doubled: those of an even, of an odd place
	for i := from; i < end && digits < maxCard; i++ {
		if !isDigit(text[i]) {
			continue
		}
		n := int(text[i] - '0')
		sums[digits&1] += doubled(n)
		sums[1-digits&1] += n
		digits++
		isEnd := i+1 == end || !isDigit(text[i+1])
		if isEnd && digits >= minCard && sums[digits&1]%10 == 0 {
			found = i + 1
		}
	}
	return found
}

func doubled(n int) int {
	if n *= 2; n > 9 {
		return n - 9
	}
	return n
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

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	// maxLabel is how long the label of a private key is at most.
	maxLabel = 40
)

// scanPrivateKeys finds private keys in PEM (RFC 7468), from their first to their last
// line, or to the end of the text if it was cut.
func scanPrivateKeys(m *matches) {
	text := m.text
	for at := 0; ; {
		begin := bytes.Index(text[at:], []byte(pemBegin))
		if begin < 0 {
			return
		}
		begin += at
		at = begin + len(pemBegin)
		label := text[at:min(at+maxLabel, len(text))]
		if !bytes.Contains(label, []byte("PRIVATE KEY")) {
			continue
		}
		end := len(text)
		if last := bytes.Index(text[at:], []byte(pemEnd)); last >= 0 {
			end = at + last + len(pemEnd)
			at = end // the dashes behind the label may begin another key
			if dashes := bytes.Index(text[end:min(end+maxLabel, len(text))], []byte("-----")); dashes >= 0 {
				end += dashes + len("-----")
			}
		}
		if !m.add(begin, end) || end == len(text) {
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
			from := i + 1
			for i+1 < len(text) && !endsURL[text[i+1]] && text[i+1] != '#' {
				i++
			}
			if from <= i && !m.add(from, i+1) {
				return
			}
		}
	}
}
