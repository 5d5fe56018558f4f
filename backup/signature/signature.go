// Package signature signs what is in a bucket and verifies it, so that a change by
// someone who can write the bucket is found. Keys and signatures are those of OpenSSH
// (PROTOCOL.sshsig), with Ed25519 alone: `ssh-keygen -Y verify` checks them without
// this program. The package holds no secret but the key that it is given.
package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// The namespaces of signatures. A signature for one purpose is not valid for another.
const (
	Manifest     = "manifest@backup.nova.dev"
	Verification = "verification@backup.nova.dev"
	Evidence     = "evidence@backup.nova.dev"
)

// Namespaces lists all purposes.
func Namespaces() []string { return []string{Manifest, Verification, Evidence} }

// ErrInvalid says that a signature does not fit, or is by nobody who is trusted.
var ErrInvalid = errors.New("the signature is not valid")

const (
	magic         = "SSHSIG"
	version       = 1
	hashAlgorithm = "sha512"
	armor         = "SSH SIGNATURE"
)

// MaxBytes bounds a signature: an armored one takes about 300 bytes.
const MaxBytes = 4096

// NewHash returns the hash of a message, for [Keys.VerifySum].
func NewHash() hash.Hash { return sha512.New() }

// Sign signs a message for one purpose, in the armored form of `ssh-keygen -Y sign`.
// The signature of the same message is the same each time.
func (k Key) Sign(namespace string, message []byte) []byte {
	sum := sha512.Sum512(message)
	signed := ed25519.Sign(k.private, signedData(namespace, sum[:]))
	blob := append([]byte(magic), number(version)...)
	blob = append(blob, fields(k.Public().blob(), []byte(namespace), nil, []byte(hashAlgorithm), fields([]byte(keyType), signed))...)
	return pem.EncodeToMemory(&pem.Block{Type: armor, Bytes: blob})
}

// Verify returns the key that signed a message for one purpose; see [Keys.VerifySum].
func (all Keys) Verify(namespace string, message, armored []byte) (PublicKey, error) {
	sum := sha512.Sum512(message)
	return all.VerifySum(namespace, sum[:], armored)
}

// VerifySum returns the key that signed the message of a hash for one purpose. All
// its errors are [ErrInvalid].
func (all Keys) VerifySum(namespace string, sum, armored []byte) (PublicKey, error) {
	public, signed, err := parse(namespace, armored)
	if err != nil {
		return public, invalid(err.Error())
	}
	if err := all.trusts(public, namespace); err != nil {
		return public, invalid(err.Error())
	}
	if !ed25519.Verify(public.bytes[:], signedData(namespace, sum), signed) {
		return public, invalid("the content is not what " + public.Fingerprint() + " signed")
	}
	return public, nil
}

// signedData is what the key signs in place of the message.
func signedData(namespace string, sum []byte) []byte {
	return append([]byte(magic), fields([]byte(namespace), nil, []byte(hashAlgorithm), sum)...)
}

// parse reads an armored signature and checks everything but the signature itself.
func parse(namespace string, armored []byte) (public PublicKey, signed []byte, err error) {
	block, rest := pem.Decode(armored)
	if block == nil || block.Type != armor || len(bytes.TrimSpace(rest)) > 0 {
		return public, nil, errors.New("it is no armored SSH signature")
	}
	r := reader{left: block.Bytes}
	r.literal(magic)
	if v := r.number(); v != version && r.err == nil {
		return public, nil, errors.New("its version is not known")
	}
	key, space, _, algorithm, inner := r.field(), r.field(), r.field(), r.field(), r.field()
	s := reader{left: inner}
	kind, signed := s.field(), s.field()
	switch {
	case r.end() != nil || s.end() != nil:
		return public, nil, errors.New("it is malformed")
	case string(space) != namespace:
		return public, nil, errors.New("it was made for another purpose")
	case string(algorithm) != hashAlgorithm || string(kind) != keyType || len(signed) != ed25519.SignatureSize:
		return public, nil, errors.New("its algorithm is not Ed25519 with SHA-512")
	}
	public, err = parseBlob(key)
	return public, signed, err
}

func invalid(why string) error { return fmt.Errorf("%w: %s", ErrInvalid, why) }
