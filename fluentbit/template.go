package fluentbit

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nova/novawire/fluentbit/record"
)

// Template is the template of a log group's or stream's name. Its placeholders
// are {namespace}, {service}, {pod}, {container} and {node}.
type Template struct {
	parts   []string // literal text; at odd indexes the name of a placeholder
	allowed func(rune) bool
}

// maxNameLength is the longest name of a log group or stream, in characters.
const maxNameLength = 512

func groupCharacters(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_/#", r)
}

// streamCharacters excludes control characters too: the service accepts them, but
// nobody can type them.
func streamCharacters(r rune) bool {
	return r != ':' && r != '*' && r >= ' ' && r != 0x7f && r != utf8.RuneError
}

// ParseTemplate reads a template. Its literal text must consist of allowed
// characters; Fill replaces other characters in values.
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
			return t, fmt.Errorf("{%s} is not a placeholder: use {namespace}, {service}, {pod}, {container} or {node}", name)
		}
		t.parts, rest = append(t.parts, name), after
	}
	switch {
	case len(t.parts) == 0:
		return t, errors.New("it is empty")
	case strings.HasPrefix(text, "aws/"):
		return t, errors.New("names that begin with aws/ are reserved")
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

// Fill returns the name for a pod. An unknown value becomes "none", a character
// that is not allowed becomes "_", and a name that is too long is truncated.
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
