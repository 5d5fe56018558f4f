package backup

import (
	"errors"
	"fmt"
	"strings"
)

// SplitPatterns splits a comma list of psql patterns. Inside double quotes commas and
// dots have no meaning.
func SplitPatterns(list string) (patterns []string, err error) {
	var pattern strings.Builder
	quoted := false
	for _, c := range list + "," {
		switch {
		case c < ' ':
			return nil, errors.New("it contains a control character")
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			if strings.TrimSpace(pattern.String()) == "" {
				return nil, errors.New("one of the patterns is empty")
			}
			patterns = append(patterns, strings.TrimSpace(pattern.String()))
			pattern.Reset()
			continue
		}
		pattern.WriteRune(c)
	}
	if quoted {
		return nil, errQuote
	}
	return patterns, nil
}

// PatternParts splits a pattern at the dots outside of double quotes.
func PatternParts(pattern string) (parts []string) {
	quoted := false
	start := 0
	for i, c := range pattern {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			parts = append(parts, pattern[start:i])
			start = i + 1
		}
	}
	return append(parts, pattern[start:])
}

// checkPatterns returns the check of a list of patterns with at most so many parts.
func checkPatterns(most int) func(string) error {
	return func(list string) error {
		patterns, err := SplitPatterns(list)
		if err != nil {
			return err
		}
		for _, pattern := range patterns {
			parts := PatternParts(pattern)
			if len(parts) > most {
				return fmt.Errorf("a pattern has %d parts with dots between them, more than %d", len(parts), most)
			}
			for _, part := range parts {
				if part == "" {
					return errors.New("a part of a pattern beside a dot is empty")
				}
			}
		}
		return nil
	}
}
