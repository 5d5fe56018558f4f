package redact

import (
	"strings"

	"github.com/nova/novawire/api/redaction"
)

// addPreset adds what a preset matches: keys that name a secret, and texts.
func (r *Rules) addPreset(t target, preset string) {
	key := func(match func(key string) bool) { r.keys = append(r.keys, keyRule{target: t, match: match}) }
	value := func(n need, scan func(*matches)) {
		r.values = append(r.values, valueRule{target: t, need: n, scan: scan})
	}
	switch preset {
	case redaction.Authorization:
		key(endsWith(authorizationNames))
		value(need{bytes: dividers, length: len("authorization:x")}, scanAuthorization)
		value(need{bytes: " \t%", length: len("basic x")}, scanSchemes)
	case redaction.Cookies:
		key(endsWith(cookieNames))
		value(need{bytes: dividers, length: len("cookie:x")}, scanCookies)
	case redaction.Email:
		value(need{bytes: "@%", length: len("a@b.cd")}, scanEmail)
	case redaction.CardNumbers:
		value(need{digits: minCard}, scanCards)
	case redaction.AWSKeys:
		key(endsWith(awsNames))
		value(need{bytes: dividers + " ", length: len("secretaccesskey=x")}, scanAWSSecrets)
		value(need{uppers: accessKeyID}, scanAccessKeys)
	case redaction.PrivateKeys:
		value(need{bytes: "-", length: len("----BEGIN PRIVATE KEY")}, scanPrivateKeys)
	case redaction.SQLLiterals:
		r.sql = &valueRule{target: t, instead: "?", scan: scanSQL}
	case redaction.URLQueries:
		key(func(key string) bool { return key == "url.query" })
		value(need{bytes: "?", length: len("/?x")}, scanQueries)
		r.url = &valueRule{target: t, scan: scanURL}
	}
}

// dividers stand between a name and its value.
const dividers = ":=%,>"

// Names of secrets, without the dashes and underscores that they are written with.
var (
	authorizationNames = []string{"authorization"}
	cookieNames        = []string{"cookie", "cookies"}
	awsNames           = []string{"secretaccesskey", "awssecretkey", "sessiontoken", "amzsecuritytoken"}
)

// endsWith matches the keys that end with a name, such as
// http.request.header.authorization.
func endsWith(names []string) func(string) bool {
	return func(key string) bool { return endsWithName([]byte(key), names) }
}

// endsWithName reports whether a text ends with a name, in any case and with any dashes,
// underscores, points and spaces between its letters.
func endsWithName(text []byte, names []string) bool {
	for _, name := range names {
		at := len(text)
		left := len(name)
		for ; left > 0 && at > 0; at-- {
			if c := lowerByte(text[at-1]); c == name[left-1] {
				left--
			} else if left == len(name) || strings.IndexByte("-_. ", c) < 0 {
				break
			}
		}
		if left == 0 {
			return true
		}
	}
	return false
}

// isURLKey reports whether the value of a key is a URL, or its path and query, and
// nothing else.
func isURLKey(key string) bool {
	return strings.HasSuffix(key, "url.full") || strings.HasSuffix(key, "url.original") ||
		strings.HasSuffix(key, "http.url") || strings.HasSuffix(key, "http.target")
}

func isSQLKey(key string) bool {
	return strings.HasSuffix(key, "db.query.text") || strings.HasSuffix(key, "db.statement")
}
