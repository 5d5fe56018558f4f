package sigv4

import "strings"

// section reads one profile of a credentials file.
func section(text, profile string) map[string]string {
	keys, in := map[string]string{}, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			in = strings.TrimSpace(strings.TrimSuffix(name, "]")) == profile
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if in && ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			keys[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
		}
	}
	return keys
}
