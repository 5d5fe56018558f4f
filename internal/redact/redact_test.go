package redact_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/redact"
)

func newRedactor(t testing.TB, text string) *redact.Redactor {
	t.Helper()
	rules, _ := redaction.Parse(text)
	r := redact.New(rules, "a key").Redactor()
	if r == nil {
		t.Fatalf("%q redacts nothing", text)
	}
	return r
}

// value redacts the value of a key; "–" stands for one that is dropped.
func value(r *redact.Redactor, key, text string) string {
	var k redact.Key
	if key != "" {
		k = r.Key([]byte(key))
	}
	if whole, drop := k.Whole(); drop {
		return "–"
	} else if whole {
		return string(r.AppendWhole(nil, k, []byte(text)))
	}
	switch got, verdict := r.Value(nil, k, []byte(text)); verdict {
	case redact.Keep:
		return text
	case redact.Drop:
		return "–"
	default:
		return string(got)
	}
}

type example struct{ name, key, text, want string }

func TestPresets(t *testing.T) {
	presets := map[string][]example{
		redaction.Authorization: {
			{"the header of a span", "http.request.header.authorization", "x", "[redacted]"},
			{"the header of a proxy", "Proxy-Authorization", "x", "[redacted]"},
			{"a header in a text", "", "GET / HTTP/1.1\r\nAuthorization: Digest a b c\r\nHost: x", "GET / HTTP/1.1\r\nAuthorization: [redacted]\r\nHost: x"},
			{"a header in a map of Go", "", "map[Authorization:[Bearer abc] A:[b]]", "map[Authorization:[[redacted]"},
			{"a header in quotes", "", `req {"authorization": "Bearer abc", "a": 1`, `req {"authorization": "[redacted]", "a": 1`},
			{"a header in escaped quotes", "", `req {\"authorization\":\"abc\",\"a\":1`, `req {\"authorization\":\"[redacted]\",\"a\":1`},
			{"a scheme without its header", "", "sent bearer abc.DEF-1~+/= to x", "sent bearer [redacted] to x"},
			{"a user and a password", "", "with Basic dXNlcjpwYXNz.", "with Basic [redacted]"},
			{"a common word", "", "basic functionality is back", "basic functionality is back"},
			{"no credentials", "", "authorization:", "authorization:"},
			{"a name inside the quotes of another", "", "authorization:'authorization='abc'", "authorization:'[redacted]'[redacted]'"},
			{"escaped quotes in the value", "", `req {"authorization":"Digest username=\"M\", response=\"S3CRET\"","a":1`, `req {"authorization":"[redacted]","a":1`},
			{"escaped quotes in an escaped value", "", `req {\"authorization\":\"Digest a=\\\"M\\\", b=\\\"S\\\"\",\"a\":1`, `req {\"authorization\":\"[redacted]\",\"a\":1`},
			{"a backslash at the end of the value", "", `req {"authorization":"a\\","b":"c"`, `req {"authorization":"[redacted]\\","b":"c"`},
			{"bytes of Python", "", `{b'authorization': b'Token S3CRET', b'a': b'c'}`, `{b'authorization': b'[redacted]', b'a': b'c'}`},
			{"pairs of Python", "", `h=[(b'authorization', b'Token S3CRET'), (b'a', b'c')]`, `h=[(b'authorization', b'[redacted]'), (b'a', b'c')]`},
			{"names in a sentence", "", `authorization, please`, `authorization, please`},
			{"a percent-encoded header", "", "Authorization%3A%20Token%20S3CRET", "Authorization%3A[redacted]"},
			{"a tab behind the scheme", "", "Bearer\tS3CRET x", "Bearer\t[redacted] x"},
			{"a percent-encoded scheme", "", "a=Bearer%20S3CRET&b", "a=Bearer%20[redacted]&b"},
			{"a header in XML", "", "<Authorization>S3CRET</Authorization>", "<Authorization>[redacted]</Authorization>"},
			{"a name behind deep escapes", "", `{\\\"authorization\\\":\\\"abc\\\"`, `{\\\"authorization\\\":\\\"[redacted]\\\"`},
		},
		redaction.Cookies: {
			{"the header of a span", "http.request.header.cookie", "sid=1", "[redacted]"},
			{"the header of an answer", "http.response.header.set_cookie", "sid=1", "[redacted]"},
			{"headers in a text", "", "Cookie: sid=1; b=2\nSet-Cookie: sid=3; Secure\nA: b", "Cookie: [redacted]\nSet-Cookie: [redacted]\nA: b"},
			{"quotes in a cookie", "", `req {"cookie":"a=\"1\"; session=S3CRET"}`, `req {"cookie":"[redacted]"}`},
			{"a list", "", `req headers={"Set-Cookie":["a=1; Path=/", "session=S3CRET"],"b":["c"]}`, `req headers={"Set-Cookie":["[redacted]"],"b":["c"]}`},
			{"a list in escaped quotes", "", `req {\"Set-Cookie\":[\"a=1\",\"session=S3CRET\"],\"b\":[\"c\"]}`, `req {\"Set-Cookie\":[\"[redacted]\"],\"b\":[\"c\"]}`},
			{"a list over several lines", "", "h: {\n  'set-cookie': [\n    'a=1',\n    'session=S3CRET'\n  ],\n  'b': 'c'", "h: {\n  'set-cookie': [\n    '[redacted]'\n  ],\n  'b': 'c'"},
			{"a list of Python", "", `{'Set-Cookie': ['a=1', 'session=S3CRET']}`, `{'Set-Cookie': ['[redacted]']}`},
			{"another name", "cookies.enabled", "true", "true"},
		},
		redaction.Email: {
			{"an address in a text", "", "mail to jane.doe+x@mail.example.com.", "mail to [redacted]."},
			{"a percent-encoded address", "", "/users/jane%40example.com/x", "/users/[redacted]/x"},
			{"letters beyond ASCII", "", "an jürgen@müller.de, bitte", "an [redacted], bitte"},
			{"percent-encoded characters", "", "/u?m=john%2Bspam%40example.com&n=a%3Db@c.de", "/u?m=[redacted]&n=a%[redacted]"},
			{"an apostrophe", "", "conan.o'brien@example.com, 'a@b.de'", "[redacted], '[redacted]'"},
			{"quotes", "", `to "john doe"@example.com`, `to [redacted]`},
			{"the address of a host", "", "john@[192.168.0.1] j@[IPv6:2001:db8::1] j@[abc]", "[redacted] [redacted] j@[abc]"},
			{"several addresses", "", "a@b.co,c@d.eu", "[redacted],[redacted]"},
			{"a user at an address", "", "root@10.0.0.1 root@localhost @x.com a@ @", "root@10.0.0.1 root@localhost @x.com a@ @"},
			{"a chain of signs", "", "a@b@c.de", "a@[redacted]"},
		},
		redaction.CardNumbers: {
			{"a number", "", "card 4111111111111111 is", "card [redacted] is"},
			{"groups", "", "4111 1111 1111 1111, 3782-822463-10005", "[redacted], [redacted]"},
			{"a number beside others", "", "order 17 5500005555555559 7 times", "order 17 [redacted] 7 times"},
			{"19 digits", "", "6304000000000000000", "[redacted]"},
			{"a wrong check digit", "", "4111111111111112", "4111111111111112"},
			{"a time in nanoseconds", "", "1800000000000000000", "1800000000000000000"},
			{"digits of a trace id", "", "4bf92f3577b34da6a3ce929d0e0e4736 a4111111111111111", "4bf92f3577b34da6a3ce929d0e0e4736 a4111111111111111"},
			{"digits behind the point", "", "0.4111111111111111", "0.4111111111111111"},
			{"behind an escape", "", `card%3D4111111111111111&a card%204111111111111111 x:\n4111111111111111 100%4111111111111111`, `card%3D[redacted]&a card%20[redacted] x:\n[redacted] 100%[redacted]`},
			{"other dividers", "", "4111%201111%201111%201111 4111+1111+1111+1111 4111\u00a01111\u00a01111\u00a01111 4111.1111.1111.1111", "[redacted] [redacted] [redacted] [redacted]"},
			{"two spaces", "", "4111  1111  1111  1111", "[redacted]"},
			{"a code behind it", "", "4111 1111 1111 1111 123", "[redacted] 123"},
			{"times", "", "job 20260721043004 20260721043012", "job 20260721043004 20260721043012"},
			{"other groups", "", "cpu 41111 11111 111111 4111 11111 1111111 40 11 11 11", "cpu 41111 11111 111111 4111 11111 1111111 40 11 11 11"},
			{"the numbers of Mastercard", "", "2223003122003222 2720990000000007", "[redacted] [redacted]"},
			{"a word after the number", "", "4111111111111111 4x", "[redacted] 4x"},
			{"a number in JSON", "", `{"n":4111111111111111,"m":1}`, `{"n":"[redacted]","m":1}`},
		},
		redaction.AWSKeys: {
			{"the id of a key", "", "with AKIAIOSFODNN7EXAMPLE.", "with [redacted]."},
			{"inside a word", "", "idASIAIOSFODNN7EXAMPLE2x", "id[redacted]x"},
			{"a name at the end of the value of another", "", "sessiontoken:aws_session_token='abc'", "sessiontoken:[redacted]'[redacted]'"},
			{"too short", "", "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPL"},
			{"a secret by its variable", "", "AWS_SECRET_ACCESS_KEY=wJalr/K7+x region=eu", "AWS_SECRET_ACCESS_KEY=[redacted] region=eu"},
			{"a secret by its member", "", `{"SecretAccessKey":"wJalr/K7","SessionToken":"abc","a":"b"}`, `{"SecretAccessKey":"[redacted]","SessionToken":"[redacted]","a":"b"}`},
			{"a secret in XML", "", "<SecretAccessKey>S3CRET</SecretAccessKey><SessionToken>S3</SessionToken>", "<SecretAccessKey>[redacted]</SecretAccessKey><SessionToken>[redacted]</SessionToken>"},
			{"a variable in JSON", "", `{"name":"AWS_SECRET_ACCESS_KEY","value":"S3CRET"}`, `{"name":"AWS_SECRET_ACCESS_KEY","value":"[redacted]"}`},
			{"a variable in a text", "", `env {"name":"AWS_SECRET_ACCESS_KEY","value":"S3CRET"}`, `env {"name":"AWS_SECRET_ACCESS_KEY","value":"[redacted]"}`},
			{"a property", "", "aws.secret.access.key=S3CRET", "aws.secret.access.key=[redacted]"},
			{"words", "", "Secret Access Key: S3CRET", "Secret Access Key: [redacted]"},
			{"a percent-encoded parameter", "", "X-Amz-Security-Token%3DS3CRET", "X-Amz-Security-Token%3D[redacted]"},
			{"a command", "", "aws configure set aws_secret_access_key wJalrXUtnFEMI/K7MDENG/bPx", "aws configure set aws_secret_access_key [redacted]"},
			{"a sentence", "", "the aws_secret_access_key is missing", "the aws_secret_access_key is missing"},
			{"a token by its header", "x-amz-security-token", "abc", "[redacted]"},
		},
		redaction.PrivateKeys: {
			{"a key", "", "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a\n[redacted]\nb"},
			{"a key that is cut", "", "-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted]"},
			{"a key behind the end of another", "", "-----BEGIN PRIVATE KEY-----END -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "[redacted]"},
			{"the end of something else in it", "", "-----BEGIN PRIVATE KEY-----\n-----END X-----\nS3CRET\n-----END PRIVATE KEY-----\nb", "[redacted]\nb"},
			{"percent-encoded", "", "k=-----BEGIN%20PRIVATE%20KEY-----%0AS3CRET%0A-----END%20PRIVATE%20KEY-----&a", "k=[redacted]&a"},
			{"with plus signs", "", "-----BEGIN+RSA+PRIVATE+KEY-----%0AS3CRET", "[redacted]"},
			{"SSH2", "", "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nS3CRET", "[redacted]"},
			{"a sentence about keys", "", "-- BEGIN of the PRIVATE KEY", "-- BEGIN of the PRIVATE KEY"},
			{"a certificate", "", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----"},
			{"a key in JSON", "", `{"k":"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"}`, `{"k":"[redacted]\n"}`},
		},
		redaction.SQLLiterals: {
			{"texts and numbers", "db.query.text", "SELECT a1, $1 FROM t WHERE x = 'it''s' AND y>-1.5e-3 LIMIT 10", "SELECT a1, $1 FROM t WHERE x = ? AND y>-? LIMIT ?"},
			{"the older key", "db.statement", "x='a' -- 'b", "x=? ?"},
			{"dollar quotes", "db.query.text", "DO $f$ secret ' $f$ ; SELECT $$x$$", "DO ? ; SELECT ?"},
			{"identifiers", "db.query.text", `SELECT "a'b", ` + "`c'd`" + ` FROM e2`, `SELECT "a'b", ` + "`c'd`" + ` FROM e2`},
			{"a text that is cut", "db.query.text", "x = 'secret", "x = ?"},
			{"nobody knows where it ends", "db.query.text", `x = 'a\', 'secret'`, "x = ?"},
			{"comments", "db.query.text", "a /* it's */ = 'b' # it's\n, 'c'", "a ? = ? ?\n, ?"},
			{"operators on JSON", "db.query.text", "a #> b ->> 'c'", "a #> b ->> ?"},
			{"a comment in a comment", "db.query.text", "SELECT 1 /* a /* b */ S3CRET */ FROM t", "SELECT ? ?"},
			{"quotes of Oracle", "db.query.text", "SELECT q'[it's S3CRET]', q FROM t", "SELECT q?"},
			{"plain quotes of Oracle", "db.query.text", "SELECT q'[abc]', b FROM t", "SELECT q?, b FROM t"},
			{"brackets of T-SQL", "db.query.text", "SELECT [a], [o'brien] FROM t WHERE x='S3CRET'", "SELECT [a], ?"},
			{"an array", "db.query.text", "SELECT ARRAY['a','b'], c[1]", "SELECT ARRAY[?,?], c[?]"},
			{"an identifier with a backslash", "db.query.text", `SELECT "a\" , 'S3CRET' , "b"`, "SELECT ?"},
			{"a query of MongoDB's shell", "db.statement", `db.users.find({ssn: "S3CRET"})`, `db.users.find({ssn: ?})`},
			{"a query in JSON that is cut", "db.statement", `{"find":"users","filter":{"ssn":"S3C`, `{?:?,?:{?:?`},
			{"another key", "message", "x = 'a'", "x = 'a'"},
			{"a member of JSON", "", `{"db.query.text":"x = 'a\"b'"}`, `{"db.query.text":"x = ?"}`},
		},
		redaction.URLQueries: {
			{"a URL", "url.full", "https://x.com/a?b=c&d=e#f", "https://x.com/a?[redacted]#f"},
			{"a request's target", "", `"GET /a?token=b HTTP/1.1"`, `"GET /a?[redacted] HTTP/1.1"`},
			{"a URL without a path", "", "at https://x.com?a=b, really?", "at https://x.com?[redacted] really?"},
			{"the query alone", "url.query", "a=b", "[redacted]"},
			{"any character in a URL", "url.full", `https://h/s?q=o'brien&a=<b>"c d"&token=S3CRET`, `https://h/s?[redacted]`},
			{"any character in a member", "", `{"http.target":"/s?q=\"a b\"&token=S3CRET#e"}`, `{"http.target":"/s?[redacted]#e"}`},
			{"escapes in a text", "", `INFO {"url":"https://h/s?a=1\u0026token=S3CRET"}`, `INFO {"url":"https://h/s?[redacted]"}`},
			{"deep escapes in a text", "", `INFO {\"url\":\"https:\/\/h\/s?a=1\\u0026token=S3CRET\"}`, `INFO {\"url\":\"https:\/\/h\/s?[redacted]\"}`},
			{"an apostrophe in a text", "", `at 'https://h/s?q=o'brien&token=S3CRET'`, `at 'https://h/s?[redacted]'`},
			{"a question", "", "really? and/or this", "really? and/or this"},
		},
	}
	if diff := cmp.Diff(len(redaction.Presets()), len(presets)); diff != "" {
		t.Error("a preset has no example")
	}
	for preset, examples := range presets {
		for _, e := range examples {
			t.Run(preset+"/"+e.name, func(t *testing.T) {
				if got := value(newRedactor(t, "mask preset "+preset), e.key, e.text); got != e.want {
					t.Errorf("%s=%s\nbecomes  %s\nwant     %s", e.key, e.text, got, e.want)
				}
			})
		}
	}
}

func TestRedactor(t *testing.T) {
	const hash = "hmac:b6d37a3bdd733ca4"
	cases := map[string][]example{
		"mask key *.password": {
			{"a key", "user.password", "x", "[redacted]"},
			{"in any case", "User.Password", "x", "[redacted]"},
			{"another key", "password.hint", "x", "x"},
			{"a key in JSON", "", `{"a":{"b.password":{"c":[1,"}"]}},"d":1}`, `{"a":{"b.password":"[redacted]"},"d":1}`},
			{"a key in JSON in JSON", "", `{"a":"{\"b.password\":1}"}`, `{"a":"{\"b.password\":\"[redacted]\"}"}`},
			{"an escaped key", "", `{"b\u002epassword":1}`, `{"b\u002epassword":"[redacted]"}`},
			{"JSON that is cut", "", `{"b.password":1`, `{"b.password":[redacted]`},
			{"no JSON", "", `: {"b.password":1}`, `: {"b.password":1}`},
		},
		"mask key GEHEIMSCHLÜSSEL": {
			{"in any case beyond ASCII", "", `{"geheimschlüssel":"S3CRET"}`, `{"geheimschlüssel":"[redacted]"}`},
		},
		"mask key card?": {
			{"one character", "cardé", "x", "[redacted]"},
			{"two", "card12", "x", "x"},
		},
		"drop key a": {
			{"the first member", "", `{ "a":1, "b":2 }`, `{  "b":2 }`},
			{"the last member", "", `{"b":2, "a":1}`, `{"b":2}`},
			{"all members", "", `{"a":1,"a":{"c":"d"}}`, `{}`},
			{"between members", "", `[{"b":2,"a":[1],"c":3}]`, `[{"b":2,"c":3}]`},
			{"an attribute", "a", "x", "–"},
		},
		"drop value s3cret": {
			{"an attribute", "k", "my s3cret", "–"},
			{"a member", "", `{"x":"s3cret","y":"z"}`, `{"y":"z"}`},
			{"an element", "", `["s3cret","z"]`, `["[redacted]","z"]`},
			{"a member beside a key that matches", "", `{"a s3cret":"s3cret"}`, `{}`},
			{"a key", "", `{"a s3cret":"x"}`, `{"[redacted]":"x"}`},
		},
		"mask value (?i)ACCT-[0-9]{3,}": {
			{"a match", "", "of acct-1234.", "of [redacted]."},
			{"no match", "", "of acct-12", "of acct-12"},
		},
		"hash key id; hash value u[0-9]+": {
			{"equal values are equal", "", `{"id":"u1","x":"u1"}`, `{"id":"` + hash + `","x":"` + hash + `"}`},
		},
		"mask preset email; mask preset url-queries": {
			{"what overlaps is one", "", "/a?b=c@d.de&e=f", "/a?[redacted]"},
		},
		"mask preset email; mask preset card-numbers": {
			{"the rest of a longer match goes too", "", "4111 1111 1111 1111@x.com", "[redacted]"},
		},
		"maks key x": {
			{"every key", "y", "x", "[redacted]"},
			{"every member", "", `{"a":1}`, `{"a":"[redacted]"}`},
			{"texts stay", "", "x", "x"},
		},
		"maks value x": {
			{"every key", "y", "x", "[redacted]"},
			{"every text", "", `{"a":1}`, `[redacted]`},
		},
	}
	for rules, examples := range cases {
		for _, e := range examples {
			t.Run(rules+"/"+e.name, func(t *testing.T) {
				if got := value(newRedactor(t, rules), e.key, e.text); got != e.want {
					t.Errorf("%s=%s\nbecomes  %s\nwant     %s", e.key, e.text, got, e.want)
				}
			})
		}
	}
}

func TestRedactor_Counts(t *testing.T) {
	r := newRedactor(t, "mask preset email; cards: mask preset card-numbers; drop key pin; maks key x")
	_ = value(r, "", "a@b.co c@d.eu 4111111111111111")
	_ = value(r, "", `{"pin":1,"to":"a@b.co"}`)
	_ = value(r, "", `see {"pin":1,"to":"a@b.co"`) // no JSON
	got := map[string]int{}
	for i, name := range r.Names() {
		got[name] = r.Counts[i]
	}
	want := map[string]int{"email": 3, "cards": 1, "rule-3": 1, redaction.Unreadable: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestNew_HashesWithoutKeyMask(t *testing.T) {
	rules, _ := redaction.Parse("hash key a")
	if got := value(redact.New(rules, "").Redactor(), "a", "x"); got != redact.Masked {
		t.Errorf("becomes %q", got)
	}
}

func TestNew_OtherKeyHashesDifferently(t *testing.T) {
	rules, _ := redaction.Parse("hash key a")
	one, other := value(redact.New(rules, "1").Redactor(), "a", "x"), value(redact.New(rules, "2").Redactor(), "a", "x")
	if one == other || !strings.HasPrefix(one, "hmac:") {
		t.Errorf("become %s and %s", one, other)
	}
}

func TestNew_NothingToDo(t *testing.T) {
	if r := redact.New(redaction.Rules{}, "key").Redactor(); r != nil {
		t.Error("there is a redactor without rules")
	}
}
