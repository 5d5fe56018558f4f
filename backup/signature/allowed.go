package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Keys are those whose signatures are trusted. While a key is being replaced, the old
// one stays, so that what it signed can still be verified.
type Keys []Allowed

// Allowed is one trusted key.
type Allowed struct {
	Principal string // whose it is, for people; "" if the file does not say
	Key       PublicKey
	// Namespaces are patterns of the purposes that the key is trusted for; none is all.
	Namespaces []string
}

// ParseKeys reads public keys, one a line, as ssh-keygen writes them, or as its
// ALLOWED SIGNERS: with a principal before the key, and with the option namespaces.
// # begins a comment line.
func ParseKeys(file []byte) (Keys, error) {
	var all Keys
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		allowed, err := parseAllowed(line)
		if err != nil {
			return nil, fmt.Errorf("read the verify keys: line %d: %w", i+1, err)
		}
		all = append(all, allowed)
	}
	if len(all) == 0 {
		return nil, errors.New("read the verify keys: the file holds no key")
	}
	return all, nil
}

func parseAllowed(line string) (a Allowed, err error) {
	words, err := splitWords(line)
	if err != nil {
		return a, err
	}
	if words[0] != keyType {
		a.Principal, words = words[0], words[1:]
		if len(words) > 0 && strings.Contains(words[0], "=") {
			if a.Namespaces, err = parseOptions(words[0]); err != nil {
				return a, err
			}
			words = words[1:]
		}
	}
	if len(words) < 2 || words[0] != keyType {
		return a, errors.New("a key is `ssh-ed25519 AAAA…`, with a principal and namespaces=\"…\" before it if you like; other types of keys are not supported")
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return a, errors.New("the key is no base64")
	}
	a.Key, err = parseBlob(blob)
	return a, err
}

// splitWords splits a line at blanks that are not in quotes.
func splitWords(line string) (words []string, err error) {
	quoted, word := false, strings.Builder{}
	for _, c := range line + " " {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted || c != ' ' && c != '\t':
			word.WriteRune(c)
		case word.Len() > 0:
			words = append(words, word.String())
			word.Reset()
		}
	}
	if quoted || len(words) == 0 {
		return nil, errors.New("a quote is not closed")
	}
	return words, nil
}

// parseOptions reads namespaces=a,b. Other options are refused: one that is ignored
// would trust more than the file says.
func parseOptions(text string) ([]string, error) {
	list, ok := strings.CutPrefix(text, "namespaces=")
	if !ok || strings.Contains(list, "=") || list == "" {
		return nil, errors.New("the only option that is supported is namespaces=\"…\"")
	}
	patterns := strings.Split(list, ",")
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil || strings.HasPrefix(pattern, "!") {
			return nil, fmt.Errorf("namespaces: %q is no pattern", pattern)
		}
	}
	return patterns, nil
}

// Trusts reports whether a key is trusted for a purpose.
func (all Keys) Trusts(key PublicKey, namespace string) bool {
	return all.trusts(key, namespace) == nil
}

func (all Keys) trusts(key PublicKey, namespace string) error {
	found := false
	for _, a := range all {
		if a.Key != key {
			continue
		}
		found = true
		if a.allows(namespace) {
			return nil
		}
	}
	if found {
		return fmt.Errorf("the key %s is not trusted for %s", key.Fingerprint(), namespace)
	}
	return fmt.Errorf("the key %s is not among the verify keys", key.Fingerprint())
}

func (a Allowed) allows(namespace string) bool {
	for _, pattern := range a.Namespaces {
		if match, _ := path.Match(pattern, namespace); match {
			return true
		}
	}
	return len(a.Namespaces) == 0
}
