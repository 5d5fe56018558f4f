// Package secrets makes secrets of the kinds that the presets of redaction know, in the
// forms in which telemetry carries them.
package secrets

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/nova/novawire/api/redaction"
)

// Secret is a text with a secret.
type Secret struct {
	Preset string
	Key    string // the attribute that carries it; "" for any
	Text   string
	Core   string // the part that must not survive
	// Whole says that the text stands alone: text before or behind it would change its meaning.
	Whole bool
}

const (
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	small    = "abcdefghijklmnopqrstuvwxyz"
	digits   = "0123456789"
)

// New returns a secret of a preset.
func New(random *rand.Rand, preset string) Secret {
	g := generator{random}
	s := Secret{Preset: preset}
	switch preset {
	case redaction.Authorization:
		s.Core = g.text(8+g.IntN(30), capitals+small+digits)
		s.Text = g.pick("Authorization: Bearer %s", "authorization=%s", "bearer %s", "AUTHORIZATION : Digest username=%s", `"authorization":"%s"`, `\"Proxy-Authorization\": \"Bearer %s\"`, "Authorization:[Bearer %s]", "Authorization => '%s'")
		s.Text = fmt.Sprintf(s.Text, s.Core)
		if g.IntN(4) == 0 {
			s.Core = base64.StdEncoding.EncodeToString([]byte("user:" + s.Core))
			s.Text = "Basic " + s.Core
		}
	case redaction.Cookies:
		s.Core = g.text(8+g.IntN(30), capitals+small+digits)
		s.Text = fmt.Sprintf(g.pick("Cookie: sid=%s; theme=dark", "set-cookie: a=b; sid=%s", `"cookie":"%s"`, "Set-Cookie=%s", "http.request.header.cookie: [a=b; sid=%s]"), s.Core)
	case redaction.Email:
		s.Core = g.text(1+g.IntN(12), small+digits+"._+-") + "x@" + g.text(1+g.IntN(9), small+digits) + "." + g.text(2+g.IntN(4), small)
		s.Text = s.Core
	case redaction.CardNumbers:
		s.Core = g.grouped(g.card())
		s.Text = g.pick(" ", ",", "=", `"`, ":") + s.Core + g.pick(" ", ",", ";", `"`)
	case redaction.AWSKeys:
		s.Core = g.pick("AKIA", "ASIA") + g.text(16, capitals+digits)
		s.Text = s.Core
		if g.IntN(2) == 0 {
			s.Core = g.text(40, capitals+small+digits+"/+")
			s.Text = fmt.Sprintf(g.pick("aws_secret_access_key = %s", "AWS_SECRET_ACCESS_KEY=%s", `"SecretAccessKey":"%s"`, "X-Amz-Security-Token: %s", "aws_session_token='%s'", "secretAccessKey: %s"), s.Core)
		}
	case redaction.PrivateKeys:
		label := g.pick("", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH ")
		s.Core = g.text(64, capitals+small+digits+"/+")
		s.Text = "-----BEGIN " + label + "PRIVATE KEY-----\n" + s.Core + "\n-----END " + label + "PRIVATE KEY-----"
	case redaction.SQLLiterals:
		s.Core = g.text(6+g.IntN(20), small)
		s.Key = g.pick("db.query.text", "db.statement")
		s.Text = fmt.Sprintf(g.pick("SELECT * FROM t WHERE a = '%s'", "INSERT INTO t VALUES (1, 'it''s', '%s')", `SELECT "a'b" FROM t WHERE x = $1 AND y = E'%s'`, "DO $f$ %s $f$", "x -- it's %s\n= 'b'", "/* %s ' */ SELECT 1", "UPDATE t SET a = 'b', c = '%s"), s.Core)
		if g.IntN(4) == 0 {
			s.Core = "7" + g.text(9, digits)
			s.Text = "SELECT * FROM t1 WHERE id=" + s.Core
		}
		s.Whole = true
	case redaction.URLQueries:
		s.Core = g.text(8+g.IntN(20), capitals+small+digits)
		s.Text = fmt.Sprintf(g.pick("https://x.example/a/b?token=%s", "GET /login?next=/&code=%s HTTP/1.1", "http://x?%s#top", "/?%s"), s.Core)
	}
	return s
}

type generator struct{ *rand.Rand }

func (g generator) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g generator) text(length int, from string) string {
	var b strings.Builder
	for range length {
		b.WriteByte(from[g.IntN(len(from))])
	}
	return b.String()
}

// card returns a number of 13 to 19 digits with Luhn's check digit.
func (g generator) card() string {
	number := g.pick("25", "30", "4", "5", "6") + g.text(11, digits)
	number += g.text(g.IntN(19-len(number)), digits)
	for check := range 10 {
		if candidate := number + string(rune('0'+check)); luhn(candidate) {
			return candidate
		}
	}
	panic("one of ten digits is the check digit")
}

// luhn reports whether the last digit is the check digit (ISO/IEC 7812-1, annex B).
func luhn(number string) bool {
	sum := 0
	for i := range len(number) {
		n := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			n = n*2/10 + n*2%10
		}
		sum += n
	}
	return sum%10 == 0
}

// grouped divides a number as people write it, or leaves it.
func (g generator) grouped(number string) string {
	divider := g.pick("", " ", "-")
	var b strings.Builder
	for i := range len(number) {
		if i > 0 && i%4 == 0 {
			b.WriteString(divider)
		}
		b.WriteByte(number[i])
	}
	return b.String()
}
