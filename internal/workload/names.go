package workload

import (
	"regexp"
	"strings"
)

// uuid is a UUID, whole or its first group and another one.
var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}(-[0-9a-f]{4}){0,2}(-[0-9a-f]{12})?$`)

// GeneratedSuffix returns the part of a service name that changes with every run or
// revision: a hash, random characters, a time or a UUID. It is "" for a name that people
// chose. A short number, as of a shard, is part of such a name.
func GeneratedSuffix(name string) string {
	if found := uuid.FindString(name); found != "" {
		return found
	}
	_, tail, ok := cutLast(name)
	if !ok {
		return ""
	}
	digits := strings.Trim(tail, "0123456789") == ""
	switch {
	case digits && len(tail) >= 6:
		return tail
	case digits:
		return ""
	case len(tail) == 5 && isRandom(tail) && strings.ContainsAny(tail, "2456789"):
		return tail
	case len(tail) >= 8 && (isRandom(tail) || isHexadecimal(tail)) && strings.ContainsAny(tail, "0123456789"):
		return tail
	}
	return ""
}

func isHexadecimal(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
