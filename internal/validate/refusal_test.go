package validate

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestRefusal_Error(t *testing.T) {
	for name, c := range map[string]struct {
		refusal Refusal
		want    string
	}{
		"a refused value says what to use": {
			Refusal{Setting: "backup.nova.dev/enabled", Value: "yes", Allowed: "`true`, `false`"},
			`backup.nova.dev/enabled: "yes" is refused: use true, false`,
		},
		"an ignored value says where it stands": {
			Refusal{Source: "pod", Setting: "inject.nova.dev/protocol", Value: "grcp", Allowed: "grpc or http/protobuf", Ignored: true},
			`pod annotation inject.nova.dev/protocol: "grcp" is ignored: use grpc or http/protobuf`,
		},
		"an ignored value names its replacement": {
			Refusal{Setting: "NOVAWIRE_TIMEOUT", Value: "10", Allowed: "a duration", Ignored: true, Instead: "`10s`"},
			`NOVAWIRE_TIMEOUT: "10" is ignored: use a duration; 10s is used`,
		},
		"a secret is not repeated": {
			Refusal{Setting: "DATABASE_URL", Value: Hidden, Allowed: "`postgres://…`"},
			`DATABASE_URL: the value (hidden) is refused: use postgres://…`,
		},
		"a problem stands alone": {
			Refusal{Setting: "NOVAWIRE_CERT_FILE", Problem: "is used only together with NOVAWIRE_KEY_FILE"},
			`NOVAWIRE_CERT_FILE: is used only together with NOVAWIRE_KEY_FILE`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.refusal.Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	for value, want := range map[string]string{
		"postgres://nova:hunter2@db/x": Hidden,
		"https://token@host":           Hidden,
		"https://host/path":            "https://host/path",
		strings.Repeat("x", 100):       strings.Repeat("x", 57) + "…",
	} {
		if got := Redact(value); got != want {
			t.Errorf("%q is shown as %q, want %q", value, got, want)
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, s := range []string{"", "a", "abc", "abcd", "abcdefgh", "éééééé", "日本語日本語", "a…b…c…"} {
		for limit := range 20 {
			got := Truncate(s, limit)
			switch {
			case len(got) > limit:
				t.Errorf("Truncate(%q, %d) is %d bytes long", s, limit, len(got))
			case !utf8.ValidString(got):
				t.Errorf("Truncate(%q, %d) cuts a rune: %q", s, limit, got)
			case len(s) <= limit && got != s:
				t.Errorf("Truncate(%q, %d) changes what fits: %q", s, limit, got)
			}
		}
	}
}

func TestRegion(t *testing.T) {
	for name, want := range map[string]bool{
		"us-east-1": true, "eu-central-2": true, "us-gov-west-1": true, "cn-north-1": true, "us-iso-east-1": true,
		"eusc-de-east-1": true, "ap-southeast-7": true, "mx-central-1": true, "il-central-1": true,
		"": false, "auto": false, "eu-west": false, "EU-WEST-1": false, "eu_west_1": false, "eu-west-1.evil.example": false, "eu-west-1\n": false,
	} {
		if Region(name) != want {
			t.Errorf("Region(%q) is %t", name, !want)
		}
	}
}

func TestHTTPURL(t *testing.T) {
	for value, want := range map[string]bool{
		"http://minio.lan:9000": true, "https://s3.eu-west-1.amazonaws.com": true, "http://[::1]:4318/otlp": true,
		"": false, "minio:9000": false, "ftp://host": false, "http://": false, "http://:80": false, "http://host:": false,
		"http://host:0": false, "http://host:70000": false, "https://user:secret@host": false, "http://host name": false,
	} {
		if _, ok := HTTPURL(value); ok != want {
			t.Errorf("HTTPURL(%q) is %t", value, ok)
		}
	}
}

func TestWholeNumber(t *testing.T) {
	for value, want := range map[string]bool{
		"1": true, "10": true, "007": true,
		"": false, "0": false, "11": false, "+5": false, "-5": false, "1e1": false, "9223372036854775808": false, "\t1": false, "١": false,
	} {
		if n, ok := WholeNumber(value, 1, 10); ok != want {
			t.Errorf("WholeNumber(%q) is %d, %t", value, n, ok)
		}
	}
}

func TestDuration(t *testing.T) {
	for value, want := range map[string]bool{"1s": true, "1m": true, "59.5s": true, "": false, "10": false, "999ms": false, "61s": false, "-5s": false} {
		if _, ok := Duration(value, time.Second, time.Minute); ok != want {
			t.Errorf("Duration(%q) is %t", value, ok)
		}
	}
}

func TestAddress(t *testing.T) {
	for value, want := range map[string]bool{
		"127.0.0.1:4317": true, ":18888": true, "[::1]:4317": true, "localhost:80": true,
		"": false, "127.0.0.1": false, "host:port": false, "host:70000": false, "::1:4317": false, "a b:1": false,
	} {
		if Address(value) != want {
			t.Errorf("Address(%q) is %t", value, !want)
		}
	}
}
