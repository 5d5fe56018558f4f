package validate

import "unicode/utf8"

// ellipsis marks where text was cut; it is 3 bytes long.
const ellipsis = "…"

// Truncate cuts s to at most limit bytes, between runes, and ends what it has cut
// with an ellipsis where limit has room for one.
func Truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	mark := ellipsis
	if limit < len(mark) {
		mark = ""
	}
	end := max(limit-len(mark), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
