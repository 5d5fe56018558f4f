package restore

import (
	"fmt"
	"strings"
)

// Name is the name of a schema, or of an object in a schema, that a restore is limited
// to.
type Name struct{ Schema, Object string }

// ParseName reads a name as SQL writes it: schema, or schema.object. Names without
// quotes are folded to lower case; a name in double quotes may contain anything.
func ParseName(text string) (Name, error) {
	var parts []string
	rest := strings.TrimSpace(text)
	for {
		part, after, err := cutIdentifier(rest)
		if err != nil {
			return Name{}, fmt.Errorf("%q is not a schema or schema.table as SQL writes it: %w", text, err)
		}
		parts = append(parts, part)
		if after == "" {
			break
		}
		if after[0] != '.' || len(parts) == 2 {
			return Name{}, fmt.Errorf("%q is not a schema or schema.table as SQL writes it", text)
		}
		rest = after[1:]
	}
	if len(parts) == 1 {
		return Name{Schema: parts[0]}, nil
	}
	return Name{parts[0], parts[1]}, nil
}

// cutIdentifier cuts the identifier off that a text begins with.
func cutIdentifier(text string) (name, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, `."`)
		if end < 0 {
			end = len(text)
		}
		if end == 0 {
			return "", "", fmt.Errorf("a name is empty")
		}
		return strings.ToLower(text[:end]), text[end:], nil
	}
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != '"':
			out.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == '"':
			out.WriteByte('"')
			i++
		case out.Len() == 0:
			return "", "", fmt.Errorf("a name is empty")
		default:
			return out.String(), text[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("a quote is not closed")
}

// SplitNames splits a comma list of names; commas in quotes do not split.
func SplitNames(list string) (names []string) {
	quoted, start := false, 0
	for i := range len(list) {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			names = append(names, list[start:i])
			start = i + 1
		}
	}
	return append(names, list[start:])
}

// String writes the name as SQL does, always quoted.
func (n Name) String() string {
	quote := func(part string) string { return `"` + strings.ReplaceAll(part, `"`, `""`) + `"` }
	if n.Object == "" {
		return quote(n.Schema)
	}
	return quote(n.Schema) + "." + quote(n.Object)
}

// matches reports whether an object has the name, or is in the schema of that name.
func (n Name) matches(schema, object string) bool {
	if n.Object == "" {
		return schema == n.Schema || schema == "" && object == n.Schema
	}
	return schema == n.Schema && object == n.Object
}
