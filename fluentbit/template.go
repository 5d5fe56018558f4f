package fluentbit

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nova/novawire/fluentbit/record"
)

// Template makes the names of log groups and streams from what is known of a
// pod: {namespace}, {service}, {pod}, {container} and {node}.
type Template struct {
	parts   []string // text and, at odd places, names
	allowed func(rune) bool
}

// maxNameLength is how long the names of groups and streams may be, in characters.
const maxNameLength = 512

func groupCharacters(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_/#", r)
}

// streamCharacters leaves control characters out, which the service takes and
// nobody can type.
func streamCharacters(r rune) bool {
	return r != ':' && r != '*' && r >= ' ' && r != 0x7f && r != utf8.RuneError
}

// ParseTemplate reads a template. Its text has to be of allowed characters; what
// it is filled with is made so.
func ParseTemplate(text string, allowed func(rune) bool) (Template, error) {
	t := Template{allowed: allowed}
	for rest := text; rest != ""; {
		literal, after, opened := strings.Cut(rest, "{")
		if i := strings.IndexFunc(literal, func(r rune) bool { return !allowed(r) }); i >= 0 {
			return t, fmt.Errorf("the character %q is not allowed", literal[i:i+1])
		}
		t.parts = append(t.parts, literal)
		if !opened {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if _, known := placeholder(name, &record.Pod{}); !closed || !known {
			return t, fmt.Errorf("{%s} is none of {namespace}, {service}, {pod}, {container}, {node}", name)
		}
		t.parts, rest = append(t.parts, name), after
	}
	switch {
	case len(t.parts) == 0:
		return t, errors.New("it is empty")
	case strings.HasPrefix(text, "aws/"):
		return t, errors.New("names that begin with aws/ are the service's own")
	case utf8.RuneCountInString(text) > maxNameLength:
		return t, fmt.Errorf("it is longer than %d characters", maxNameLength)
	}
	return t, nil
}

func placeholder(name string, p *record.Pod) (value string, known bool) {
	switch name {
	case "namespace":
		return p.Namespace, true
	case "service":
		return p.Service, true
	case "pod":
		return p.Name, true
	case "container":
		return p.Container, true
	case "node":
		return p.Node, true
	}
	return "", false
}

// Fill makes a name: what is unknown is called none, what is not allowed
// becomes _, and what is too long is cut.
func (t Template) Fill(p *record.Pod) string {
	var b strings.Builder
	for i, part := range t.parts {
		if i%2 == 0 {
			b.WriteString(part)
			continue
		}
		value, _ := placeholder(part, p)
		if value == "" {
			value = "none"
		}
		for _, r := range value {
			if !t.allowed(r) {
				r = '_'
			}
			b.WriteRune(r)
		}
	}
	name := b.String()
	if utf8.RuneCountInString(name) > maxNameLength {
		name = string([]rune(name)[:maxNameLength])
	}
	return name
}
