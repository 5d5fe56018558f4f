package validate

import "unicode/utf8"

// ellipsis marks where text was cut; it is 3 bytes long.
const ellipsis = "…"

// eventNote is the API server's limit for the note of an Event, in bytes (the field Note of
// events.k8s.io/v1). An Event with a longer one is refused.
const eventNote = 1024

// EventNote cuts a text to what may be the note of an Event.
func EventNote(text string) string { return Truncate(text, eventNote) }

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
