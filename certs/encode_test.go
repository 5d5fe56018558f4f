package certs_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/certs"
)

func TestDecode(t *testing.T) {
	t.Run("reads what Encode wrote", func(t *testing.T) {
		found := authority(t, start)
		found.Key, found.Found = nil, start.Add(time.Nanosecond)
		as := certs.Authorities{found, signing(t, time.Hour), authority(t, start)}
		text, err := as.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := certs.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := got.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(again)); diff != "" || len(got) != 3 || got[0].Key != nil || !got[1].Key.Equal(as[1].Key) {
			t.Errorf("it changed (-stored +read):\n%s", diff)
		}
	})

	t.Run("returns the undamaged part of a damaged Secret", func(t *testing.T) {
		as := certs.Authorities{signing(t, time.Hour), signing(t, 0)}
		text, err := as.Encode()
		if err != nil {
			t.Fatal(err)
		}
		keyOf := func(i int) string {
			return strings.SplitN(strings.SplitAfter(string(text), `"key": "`)[i+1], `"`, 2)[0]
		}
		cases := map[string]struct {
			text      string
			remaining int
			keys      int
		}{
			"nothing":                   {"", 0, 0},
			"no JSON":                   {"-----BEGIN", 0, 0},
			"JSON of another shape":     {`{"tls.crt":""}`, 0, 0},
			"a key of another":          {strings.Replace(string(text), keyOf(0), keyOf(1), 1), 2, 1},
			"a key of another kind":     {strings.Replace(string(text), keyOf(0), pemKey(t), 1), 2, 1},
			"a key that is no key":      {strings.Replace(string(text), keyOf(0), `-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n`, 1), 2, 1},
			"a key that is no PEM":      {strings.Replace(string(text), keyOf(0), "secret", 1), 2, 1},
			"a certificate that is cut": {strings.Replace(string(text), "BEGIN CERTIFICATE", "BEGIN", 1), 1, 1},
		}
		for sentence, c := range cases {
			t.Run(sentence, func(t *testing.T) {
				got, err := certs.Decode([]byte(c.text))
				keys := 0
				for _, a := range got {
					if a.Key != nil {
						keys++
					}
				}
				if err == nil || len(got) != c.remaining || keys != c.keys {
					t.Errorf("%d authorities, %d keys, error %v", len(got), keys, err)
				}
				if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "BEGIN")) {
					t.Errorf("the error quotes the Secret: %v", err)
				}
			})
		}
	})
}

// pemKey returns a key that is not of our kind, as JSON writes it.
func pemKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "\n", `\n`)
}

func TestParseBundle(t *testing.T) {
	a := authority(t, start).Certificate
	text := bytes.Join([][]byte{[]byte("\n# a comment\n"), certs.Bundle{a}.PEM(), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}, nil)
	if got := certs.ParseBundle(text); len(got) != 1 || !got.Contains(a) {
		t.Errorf("%d certificates", len(got))
	}
}

func FuzzDecode(f *testing.F) {
	a := authority(f, start)
	text, err := certs.Authorities{a}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`[{"certificate":"","leafLifetime":"1h"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		as, _ := certs.Decode(text)
		if _, err := as.Encode(); err != nil {
			t.Errorf("what was read cannot be stored: %v", err)
		}
	})
}
