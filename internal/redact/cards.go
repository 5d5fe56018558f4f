package redact

// The lengths of card numbers (ISO/IEC 7812).
const minCard, maxCard = 13, 19

// cardShapes are the groups in which numbers are printed on cards, or written, the longest first.
var cardShapes = [][]int{{4, 4, 4, 4, 3}, {6, 13}, {4, 4, 4, 4, 2}, {4, 4, 4, 4, 1}, {4, 4, 4, 4}, {4, 6, 5}, {4, 4, 4, 3}, {4, 6, 4}, {4, 4, 4, 2}, {4, 3, 3, 3}, {4, 4, 4, 1}}

// scanCards finds the numbers of payment cards: 13 to 19 digits with Luhn's check digit that
// begin with 3 to 6 or with 2221 to 2720, in one piece or in the groups of cards. Digits
// inside a longer word or behind a decimal point are not looked at.
func scanCards(m *matches) {
	text := m.text
	escaped := 0 // the end of the last escape: no word
	for i := 0; i < len(text); {
		if !beginsCard[text[i]] {
			i++
			continue
		}
		if n := escapeAt(text, i); n > 0 {
			escaped = i + n
			if to := cardEnd(text, i+1, digitsEnd(text, i+1)); to > 0 && !m.add(i+1, to) {
				return // digits behind a percent sign
			}
			i = escaped
			continue
		}
		end := digitsEnd(text, i)
		if i == escaped || !isBehindWord(text, i) {
			if to := cardEnd(text, i, end); to > 0 && !m.add(i, to) {
				return
			}
		}
		i = max(end, i+1)
	}
}

// beginsCard are digits, and what begins an escape.
var beginsCard = setOf("0123456789%\\")

// isBehindWord reports whether digits are the end of a word or of a number.
func isBehindWord(text []byte, i int) bool {
	return i > 0 && (isAlphanumeric(text[i-1]) || text[i-1] == '.' && i > 1 && isDigit(text[i-2]))
}

// escapeAt returns the length of an escape that ends no word with its last letter: %20,
// \n, \u003d. It returns 0 for anything else.
func escapeAt(text []byte, i int) int {
	switch {
	case text[i] == '%' && i+2 < len(text) && isHexadecimal(text[i+1]) && isHexadecimal(text[i+2]):
		return 3
	case text[i] != '\\' || i+1 == len(text):
	case text[i+1] == 'u' && i+5 < len(text):
		return 6
	case text[i+1] == 'n' || text[i+1] == 'r' || text[i+1] == 't':
		return 2
	}
	return 0
}

// digitsEnd returns the end of digits.
func digitsEnd(text []byte, i int) int {
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	return i
}

// cardEnd returns the end of the number that begins with the digits of a group, or 0.
func cardEnd(text []byte, from, end int) int {
	length := end - from
	if text[from] < '2' || text[from] > '6' || length > maxCard || length < 4 {
		return 0
	}
	if prefix := string(text[from : from+4]); prefix[0] == '2' && (prefix < "2221" || prefix > "2720") {
		return 0
	}
	if length >= minCard {
		if !endsInWord(text, end) && isLuhn(text[from:end]) {
			return end
		}
		return 0
	}
	if length != 4 && length != 6 {
		return 0
	}
	for _, shape := range cardShapes {
		if number, to := groups(text, from, shape); to > 0 && isLuhn(number) {
			return to
		}
	}
	return 0
}

// groups reads groups of digits, and returns the digits and the end of the last group: 0
// if the groups are others.
func groups(text []byte, at int, shape []int) (number []byte, end int) {
	var room [maxCard]byte
	number = room[:0]
	for i, length := range shape {
		if i > 0 {
			width := dividerAt(text, at)
			if width == 0 {
				return nil, 0
			}
			at += width
		}
		stop := at + length
		if stop > len(text) || digitsEnd(text[:stop], at) != stop || stop < len(text) && isDigit(text[stop]) {
			return nil, 0
		}
		number = append(number, text[at:stop]...)
		at = stop
	}
	if endsInWord(text, at) {
		return nil, 0
	}
	return number, at
}

// endsInWord reports whether a word goes on behind digits.
func endsInWord(text []byte, end int) bool { return end < len(text) && isAlphanumeric(text[end]) }

// dividerAt returns the length of what divides two groups: one or two spaces, also
// others than that of ASCII, a dash, a plus sign or a point, as they are or percent-encoded.
func dividerAt(text []byte, i int) int {
	if i == len(text) {
		return 0
	}
	switch text[i] {
	case ' ':
		if hasAt(text, i, "  ") {
			return 2
		}
		return 1
	case '-', '+', '.':
		return 1
	}
	for _, divider := range []string{"%20", "%2D", "%2d", "%2B", "%2b", "%C2%A0", "%c2%a0", "\u00a0", "\u202f", "\u2009"} {
		if hasAt(text, i, divider) {
			return len(divider)
		}
	}
	return 0
}

// isLuhn reports whether the last digit is the check digit (ISO/IEC 7812-1, annex B).
func isLuhn(number []byte) bool {
	sum := 0
	for i := range number {
		n := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}
