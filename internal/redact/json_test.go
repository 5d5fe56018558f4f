package redact_test

import (
	"strings"
	"testing"

	"github.com/nova/novawire/internal/redact"
)

// nested returns JSON that stands in so many strings of JSON.
func nested(t *testing.T, text string, times int) string {
	t.Helper()
	for range times {
		text = quoted(t, map[string]string{"m": text})
	}
	return text
}

// A key is found in all that a reader would take for JSON.
func TestRedactor_KeysInAlmostJSON(t *testing.T) {
	for name, text := range map[string]string{
		"behind a space":                   ` {"password":"S3CRET"}`,
		"behind a new line":                "\n\t{\"password\":\"S3CRET\"}\n",
		"behind a byte order mark":         "\xef\xbb\xbf{\"password\":\"S3CRET\"}",
		"JSON that is a string":            `"{\"password\":\"S3CRET\"}"`,
		"a space in a string":              `{"m":" {\"password\":\"S3CRET\"}"}`,
		"a string in a string":             `{"m":"\"{\\\"password\\\":\\\"S3CRET\\\"}\""}`,
		"NaN":                              `{"v":NaN,"password":"S3CRET","w":-Infinity,"x":None}`,
		"a word that nobody knows":         `{"v":who?,"password":"S3CRET"}`,
		"two objects":                      "{\"a\":1}\n{\"password\":\"S3CRET\"}",
		"a zero at the end":                "{\"password\":\"S3CRET\"}\x00",
		"a comma at the end":               `{"password":"S3CRET",}`,
		"an object that is cut":            `{"a":1,"password":"S3CRET`,
		"a string in one that is cut":      `{"m":"{\"password\":\"S3CRET\"}","a":`,
		"a new line in a string":           "{\"a\":\"b\nc\",\"password\":\"S3CRET\nS3CRET\"}",
		"an object that is a value":        `{"a":nope,"password":{"a":["S3CRET"]},"b":1}`,
		"a quote before it":                `{"a":nope, 5" "password":"S3CRET"}`,
		"words behind it":                  `{"password":"S3CRET"} and more`,
		"129 arrays":                       strings.Repeat("[", 129) + `{"password":"S3CRET"}` + strings.Repeat("]", 129),
		"JSON in four strings":             nested(t, `{"password":"S3CRET"}`, 4),
		"JSON in five strings":             nested(t, `{"password":"S3CRET"}`, 5),
		"JSON in seven strings":            nested(t, `{"password":"S3CRET"}`, 7),
		"an escaped key in what is no one": `{"pass\u0077ord":"S3CRET"`,
	} {
		for _, rule := range []string{"mask key password", "hash key password", "drop key password"} {
			t.Run(rule+"/"+name, func(t *testing.T) {
				r := newRedactor(t, rule)
				if got := value(r, "", text); strings.Contains(got, "S3CRET") {
					t.Errorf("becomes %s", got)
				}
				if r.Counts == (redact.Counts{}) {
					t.Error("nothing is counted")
				}
			})
		}
	}
}

// What is around a value stays.
func TestRedactor_AlmostJSON(t *testing.T) {
	cases := map[string][]example{
		"mask key password; mask preset email": {
			{"two objects", "", "{\"password\":1}\n{\"b\":\"a@b.de\"}\x00", "{\"password\":\"[redacted]\"}\n{\"b\":\"[redacted]\"}\x00"},
			{"a space before", "", ` {"password":1}`, ` {"password":"[redacted]"}`},
			{"an object that is cut", "", `{"password":"x","b":"a@b.de","c`, `{"password":"[redacted]","b":"[redacted]","c`},
			{"a text in quotes", "", `"to a@b.de"`, `"to [redacted]"`},
			{"a text in brackets", "", `[to a@b.de] x`, `[to [redacted]] x`},
			{"a text without the key", "", `{"passwords":"x"`, `{"passwords":"x"`},
		},
		"mask preset sql-literals": {
			{"a query that is JSON", "db.query.text", `{"find":"users","filter":{"ssn":"S3CRET","n":[1,true,null]}}`, `{"find":"?","filter":{"ssn":"?","n":["?",true,null]}}`},
			{"several queries", "", `{"db.statement":["SELECT 'S3CRET'","SELECT a"]}`, `{"db.statement":["SELECT ?","SELECT a"]}`},
			{"a query that is an object", "", `{"db.statement":{"find":"users"},"b":"'c'"}`, `{"db.statement":{"find":"?"},"b":"'c'"}`},
			{"several that are JSON", "db.statement", "{\"a\":1}\n{\"b\":\"c\"}\n", "{\"a\":\"?\"}\n{\"b\":\"?\"}\n"},
			{"statements in an array", "db.statement", `["SELECT 'S3CRET'"]`, `["SELECT ?"]`},
			{"a statement in the quotes of JSON", "db.statement", `"SELECT 'S3CRET'"`, `"SELECT ?"`},
		},
		"hash key x; hash value [0-9]{3}": {
			{"a number", "", `{"a":123}`, `{"a":"hmac:393315ccd47c268e"}`},
		},
		"drop key *.password": {
			{"a pair", "", `{"e":[{"name":"db.password","value":"x"},{"name":"a","value":"b"}],"value":"c"}`, `{"e":[{"name":"db.password"},{"name":"a","value":"b"}],"value":"c"}`},
			{"a pair of OTLP", "", `{"key":"db.password","value":{"stringValue":"x"}}`, `{"key":"db.password"}`},
		},
		"drop value [0-9]{3}": {{"a number", "", `{"a":1234,"b":[1234],"c":1}`, `{"b":["[redacted]"],"c":1}`}},
	}
	for rules, examples := range cases {
		for _, e := range examples {
			t.Run(rules+"/"+e.name, func(t *testing.T) {
				if got := value(newRedactor(t, rules), e.key, e.text); got != e.want {
					t.Errorf("%s=%q\nbecomes  %q\nwant     %q", e.key, e.text, got, e.want)
				}
			})
		}
	}
}

// In text that begins as JSON and breaks its rules as many values are told apart as elsewhere.
func TestRedactor_KeysInMuchThatIsNoJSON(t *testing.T) {
	r := newRedactor(t, "mask key a")
	text := "{" + strings.Repeat(`"a":1,`, 40_000) + "!"
	got := value(r, "", text)
	if strings.Contains(got, ":1") || len(got) > 2*len(text) {
		t.Errorf("%d bytes become %d", len(text), len(got))
	}
}

// JSON of nothing but matches does not grow to a multiple of its size.
func TestRedactor_JSONWithTooManyMatches(t *testing.T) {
	numbers := "[" + strings.Repeat("1,", 20_000) + "1]"
	for name, text := range map[string]string{
		"numbers":                   numbers,
		"numbers in a string":       quoted(t, map[string]string{"b": numbers}),
		"numbers in many strings":   "[" + strings.Repeat(`"[1,1,1]",`, 9_000) + "1]",
		"members that are dropped":  `{"b":[` + strings.Repeat(`{"a":1},`, 20_000) + `1]}`,
		"numbers in several arrays": strings.Repeat("[1]\n", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			if got := value(newRedactor(t, "mask value [0-9]; drop key a"), "", text); got != redact.Masked {
				t.Errorf("%d bytes become %d: %.60s", len(text), len(got), got)
			}
		})
	}
}
