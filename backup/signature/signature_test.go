package signature

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nova/novawire/internal/testing/prerequisite"
	"github.com/nova/novawire/internal/testing/sshkeys"
)

func newKey(t *testing.T) (Key, string) {
	t.Helper()
	private, public := sshkeys.New(t)
	key, err := ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}

func parseKeys(t *testing.T, file string) Keys {
	t.Helper()
	keys, err := ParseKeys([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeys_Verify(t *testing.T) {
	message := []byte("a manifest\n")
	key, public := newKey(t)
	other, otherPublic := newKey(t)
	signed := key.Sign(Manifest, message)
	cases := map[string]struct {
		keys      string
		namespace string
		message   []byte
		signature []byte
		want      string // part of the problem; "" if it is valid
	}{
		"a signature of a trusted key is valid":                         {public, Manifest, message, signed, ""},
		"the old key stays valid beside a new one":                      {otherPublic + "\n# comment\n\n" + public + " old@host\n", Manifest, message, signed, ""},
		"a key may be limited to the purpose":                           {`nova namespaces="manifest@*,x" ` + public, Manifest, message, signed, ""},
		"a principal may stand before the key":                          {"nova " + public, Manifest, message, signed, ""},
		"another message is refused":                                    {public, Manifest, []byte("a manifest"), signed, "not what"},
		"a signature for another purpose is refused":                    {public, Manifest, message, key.Sign(Evidence, message), "another purpose"},
		"a key that is limited to another purpose is refused":           {`nova namespaces="evidence@*" ` + public, Manifest, message, signed, "not trusted for"},
		"a key that is not listed is refused":                           {otherPublic, Manifest, message, signed, "not among"},
		"another key's signature under a trusted key's name is refused": {public, Manifest, message, renamed(t, other, key, message), "not what"},
		"no signature is refused":                                       {public, Manifest, message, nil, "no armored"},
		"prose is refused":                                              {public, Manifest, message, []byte("signed: yes"), "no armored"},
		"a cut signature is refused":                                    {public, Manifest, message, signed[:len(signed)/2], "no armored"},
		"two signatures are refused":                                    {public, Manifest, message, append(bytes.Clone(signed), signed...), "no armored"},
		"a private key in its place is refused":                         {public, Manifest, message, firstOf(sshkeys.New(t)), "no armored"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			by, err := parseKeys(t, c.keys).Verify(c.namespace, c.message, c.signature)
			switch {
			case c.want == "" && (err != nil || by != key.Public()):
				t.Errorf("got %v, %v", by, err)
			case c.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}

// renamed returns a signature of one key that names the other.
func renamed(t *testing.T, by, name Key, message []byte) []byte {
	t.Helper()
	mixed := Key{append(append(ed25519.PrivateKey{}, by.private[:ed25519.SeedSize]...), name.private[ed25519.SeedSize:]...)}
	return mixed.Sign(Manifest, message)
}

func firstOf(private []byte, _ string) []byte { return private }

// Every byte of a signature counts.
func TestKeys_Verify_EveryByte(t *testing.T) {
	message := []byte("a manifest\n")
	key, public := newKey(t)
	keys := parseKeys(t, public)
	signed := key.Sign(Manifest, message)
	for i := range signed {
		changed := bytes.Clone(signed)
		changed[i] ^= 4
		if _, err := keys.Verify(Manifest, message, changed); err == nil && !equalBase64(signed, changed) {
			t.Errorf("byte %d may be changed:\n%s", i, changed)
		}
	}
}

// equalBase64 reports whether two armored texts decode to the same bytes: a text may
// have other blanks and other padding bits.
func equalBase64(a, b []byte) bool {
	one, _, errOne := parse(Manifest, a)
	two, _, errTwo := parse(Manifest, b)
	return errOne == nil && errTwo == nil && one == two
}

func TestParseKey(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := firstOf(sshkeys.Encode(t, ed, ""))
	cases := map[string]struct {
		file []byte
		want string
	}{
		"a key with a passphrase": {firstOf(sshkeys.Encode(t, ed, "secret")), "passphrase"},
		"a key of another type":   {firstOf(sshkeys.Encode(t, ec, "")), "ssh-ed25519"},
		"two keys":                {append(bytes.Clone(good), good...), "no OpenSSH private key"},
		"half a key":              {good[:len(good)/2], "no OpenSSH private key"},
		"an age identity":         {[]byte("AGE-SECRET-KEY-1ABC"), "no OpenSSH private key"},
		"an empty file":           {nil, "no OpenSSH private key"},
	}
	for name, c := range cases {
		t.Run(name+" is refused", func(t *testing.T) {
			if _, err := ParseKey(c.file); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "AGE-SECRET") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestParseKeys(t *testing.T) {
	_, public := newKey(t)
	for file, want := range map[string]string{
		"":                                   "holds no key",
		"# only a comment\n":                 "holds no key",
		"nonsense":                           "line 1",
		public + "\nssh-rsa AAAA x":          "line 2",
		"ssh-ed25519 !":                      "base64",
		"ssh-ed25519 AAAA":                   "no ssh-ed25519",
		"nova cert-authority=x " + public:    "only option",
		`nova valid-before="2026" ` + public: "only option",
		`nova namespaces="a,!b" ` + public:   "no pattern",
		`nova namespaces="a ` + public:       "quote",
		"nova":                               "a key is",
	} {
		if _, err := ParseKeys([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", file, err, want)
		}
	}
}

// OpenSSH reads what we write, and we read what OpenSSH writes.
func TestOpenSSH(t *testing.T) {
	program, err := exec.LookPath("ssh-keygen")
	if err != nil {
		prerequisite.Skip(t, "no ssh-keygen; run: tools/provide ssh_keygen")
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keygen := func(stdin []byte, args ...string) []byte {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Stdin = bytes.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen %v: %v: %s", args, err, out)
		}
		return out
	}
	keyPath := filepath.Join(dir, "key")
	keygen(nil, "-q", "-t", "ed25519", "-N", "", "-f", keyPath)
	private, err := os.ReadFile(keyPath)
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(keyPath + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("{}\n")
	t.Run("ssh-keygen verifies our signature", func(t *testing.T) {
		signed := file("manifest.json.sig", key.Sign(Manifest, message))
		allowed := file("allowed", []byte(`novawire namespaces="manifest@*" `+string(public)))
		keygen(message, "-Y", "verify", "-f", allowed, "-I", "novawire", "-n", Manifest, "-s", signed)
	})
	t.Run("we verify its signature", func(t *testing.T) {
		path := file("message", message)
		keygen(nil, "-q", "-Y", "sign", "-f", keyPath, "-n", Manifest, path)
		signed, err := os.ReadFile(path + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseKeys(t, string(public)).Verify(Manifest, message, signed); err != nil {
			t.Error(err)
		}
		if !bytes.Contains(keygen(nil, "-l", "-f", keyPath), []byte(key.Public().Fingerprint())) {
			t.Errorf("ssh-keygen does not call the key %s", key.Public().Fingerprint())
		}
	})
}

func FuzzKeys_Verify(f *testing.F) {
	private, public := sshkeys.New(f)
	key, err := ParseKey(private)
	if err != nil {
		f.Fatal(err)
	}
	keys, err := ParseKeys([]byte(public))
	if err != nil {
		f.Fatal(err)
	}
	message := []byte("message")
	signed := key.Sign(Manifest, message)
	f.Add(signed)
	f.Fuzz(func(t *testing.T, signature []byte) {
		if _, err := keys.Verify(Manifest, message, signature); err == nil && !equalBase64(signed, signature) {
			t.Errorf("accepted %q", signature)
		}
	})
}
