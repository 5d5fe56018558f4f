package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/pem"
	"errors"
)

const keyType = "ssh-ed25519"

// Key signs. It is an Ed25519 key of OpenSSH without a passphrase.
type Key struct{ private ed25519.PrivateKey }

// PublicKey is the public half of a [Key].
type PublicKey struct{ bytes [ed25519.PublicKeySize]byte }

// ParseKey reads a private key as `ssh-keygen -t ed25519` writes it. Its errors show
// nothing of the key.
func ParseKey(file []byte) (Key, error) {
	block, rest := pem.Decode(file)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return Key{}, errors.New("read the signing key: it is no OpenSSH private key; make one with ssh-keygen -t ed25519 -N ''")
	}
	r := reader{left: block.Bytes}
	r.literal("openssh-key-v1\x00")
	cipher, _, _, count, public, section := r.field(), r.field(), r.field(), r.number(), r.field(), r.field()
	switch {
	case r.end() != nil || count != 1:
		return Key{}, errors.New("read the signing key: it is malformed, or holds several keys")
	case string(cipher) != "none":
		return Key{}, errors.New("read the signing key: it has a passphrase; remove it with ssh-keygen -p")
	}
	private, err := parsePrivate(section)
	if err != nil {
		return Key{}, err
	}
	if subtle.ConstantTimeCompare(private.Public().blob(), public) != 1 {
		return Key{}, errors.New("read the signing key: its halves do not belong together")
	}
	return private, nil
}

func parsePrivate(section []byte) (Key, error) {
	s := reader{left: section}
	one, two := s.number(), s.number()
	kind, _, private, _ := s.field(), s.field(), s.field(), s.field()
	switch {
	case s.err != nil || one != two:
		return Key{}, errors.New("read the signing key: it is malformed")
	case string(kind) != keyType || len(private) != ed25519.PrivateKeySize:
		return Key{}, errors.New("read the signing key: it is of another type than ssh-ed25519")
	}
	return Key{ed25519.NewKeyFromSeed(private[:ed25519.SeedSize])}, nil
}

// Public returns the key that verifies.
func (k Key) Public() (public PublicKey) {
	copy(public.bytes[:], k.private[ed25519.SeedSize:])
	return public
}

func (p PublicKey) blob() []byte { return fields([]byte(keyType), p.bytes[:]) }

// Fingerprint names the key as `ssh-keygen -l` does.
func (p PublicKey) Fingerprint() string {
	sum := sha256.Sum256(p.blob())
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

func (p PublicKey) String() string {
	return keyType + " " + base64.StdEncoding.EncodeToString(p.blob())
}

func parseBlob(blob []byte) (public PublicKey, err error) {
	r := reader{left: blob}
	kind, key := r.field(), r.field()
	if r.end() != nil || string(kind) != keyType || len(key) != ed25519.PublicKeySize {
		return public, errors.New("the key is no " + keyType)
	}
	copy(public.bytes[:], key)
	return public, nil
}
