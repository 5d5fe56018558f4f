package redact_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/internal/testing/secrets"
)

// all are rules with every preset.
func all() (text string) {
	for _, preset := range redaction.Presets() {
		text += "mask preset " + preset + "\n"
	}
	return text
}

// FuzzPresets puts a secret of each preset into a text, as it is, as a value of JSON and
// as JSON in a value of JSON. None survives.
func FuzzPresets(f *testing.F) {
	f.Add(uint64(1), "see ", " and more")
	f.Add(uint64(2), `{"a":"b`, `"}`)
	f.Add(uint64(3), "cookie: \"", "'\r\n%40.de")
	f.Add(uint64(4), "-----BEGIN PRIVATE KEY", "\\")
	f.Add(uint64(5), "basic bearer 4111 ", " 1234")
	f.Fuzz(func(t *testing.T, seed uint64, before, behind string) {
		random := rand.New(rand.NewPCG(seed, 0))
		r := newRedactor(t, all())
		for _, preset := range redaction.Presets() {
			s := secrets.New(random, preset)
			if strings.Contains(before+behind, s.Core) {
				continue
			}
			text := before + s.Text + behind
			if s.Whole {
				text = s.Text
			}
			key := s.Key
			if key == "" {
				key = "k"
			}
			check(t, s, text, value(r, s.Key, text))
			if !utf8.ValidString(text) {
				continue // JSON would change it
			}
			inJSON := quoted(t, map[string]any{"a": before, key: text, "z": []any{behind, map[string]string{key: text}}})
			check(t, s, inJSON, value(r, "", inJSON))
			nested := quoted(t, map[string]string{"n": inJSON})
			check(t, s, nested, value(r, "", nested))
		}
	})
}

func quoted(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// check looks for the secret in what was redacted, also behind escapes.
func check(t *testing.T, s secrets.Secret, text, got string) {
	t.Helper()
	if strings.Contains(strings.ReplaceAll(got, `\`, ""), strings.ReplaceAll(s.Core, `\`, "")) {
		t.Errorf("%s: the secret %q survives\nin      %q\nbecomes %q", s.Preset, s.Core, text, got)
	}
	if strings.ContainsAny(text[:1], "[{") && json.Valid([]byte(text)) && !json.Valid([]byte(got)) {
		t.Errorf("%s: JSON becomes none\nin      %s\nbecomes %s", s.Preset, text, got)
	}
	if utf8.ValidString(text) && !utf8.ValidString(got) {
		t.Errorf("%s: the text is not UTF-8 any more\nin      %q\nbecomes %q", s.Preset, text, got)
	}
	if s.Preset != redaction.SQLLiterals && got == text {
		t.Errorf("%s: nothing was redacted in %q", s.Preset, text)
	}
}

// FuzzRedactor redacts any text by rules of every kind: it does not panic, keeps JSON and
// UTF-8 valid, and changes nothing where it says so.
func FuzzRedactor(f *testing.F) {
	for _, text := range []string{`{"a":[1,"b@c.de",{"d":null}]}`, "x", "[]", `["\ud800"]`, `{"a":1,"a":2}`} {
		f.Add(text)
	}
	rules := []string{all(), strings.ReplaceAll(all(), "mask", "drop"), strings.ReplaceAll(all(), "mask", "hash"), "drop key a*; drop value [0-9]{3}; hash key d", "maks key x"}
	f.Fuzz(func(t *testing.T, text string) {
		for _, set := range rules {
			r := newRedactor(t, set)
			got, verdict := r.Value([]byte("before"), redact.Key{}, []byte(text))
			if verdict != redact.Changed && string(got) != "before" {
				t.Fatalf("%q: %q was appended, and the verdict is %d", text, got, verdict)
			}
			if verdict != redact.Changed {
				continue
			}
			got, ok := bytes.CutPrefix(got, []byte("before"))
			if !ok || r.Counts == (redact.Counts{}) {
				t.Fatalf("%q becomes %q, counted as %v", text, got, r.Counts)
			}
			if json.Valid([]byte(text)) && strings.ContainsAny(text[:1], "[{") && !json.Valid(got) {
				t.Errorf("JSON becomes none:\n%s\n%s", text, got)
			}
			if utf8.ValidString(text) && !utf8.Valid(got) {
				t.Errorf("%q is not UTF-8 any more: %q", text, got)
			}
		}
	})
}
