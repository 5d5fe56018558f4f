package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// text returns a string literal of CEL, whose escapes are Go's.
func text(s string) string { return strconv.Quote(s) }

// list returns a list literal of strings.
func list(elements []string) string {
	literals := make([]string, len(elements))
	for i, s := range elements {
		literals[i] = text(s)
	}
	return "[" + strings.Join(literals, ", ") + "]"
}

// object returns a map literal, sorted by key. The values are expressions.
func object(members map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(members)) {
		parts = append(parts, text(key)+": "+members[key])
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// texts returns a map literal of strings.
func texts(members map[string]string) string {
	values := map[string]string{}
	for key, value := range members {
		values[key] = text(value)
	}
	return object(values)
}

// value returns the literal of a JSON value. Every element is a dyn, because lists and maps
// of one type only are allowed otherwise.
func value(v any) string {
	switch v := v.(type) {
	case map[string]any:
		members := map[string]string{}
		for key, member := range v {
			members[key] = value(member)
		}
		return "dyn(" + object(members) + ")"
	case []any:
		elements := make([]string, len(v))
		for i, element := range v {
			elements[i] = value(element)
		}
		return "dyn([" + strings.Join(elements, ", ") + "])"
	case string:
		return "dyn(" + text(v) + ")"
	case json.Number:
		return "dyn(" + v.String() + ")"
	}
	return fmt.Sprintf("dyn(%v)", v) // true, false and null
}

// encode returns an expression that percent-encodes the printable ASCII text of another one, as
// attribute.Append does.
func encode(expression string) string {
	for _, c := range []string{"%", " ", `"`, ",", ";", "=", `\`} {
		expression += fmt.Sprintf(".replace(%s, %s)", text(c), text(fmt.Sprintf("%%%02X", c[0])))
	}
	return expression
}

// alternatives returns a regular expression of one of the names.
func alternatives(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return "(?:" + strings.Join(quoted, "|") + ")"
}
