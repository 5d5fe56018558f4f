// Package sshkeys makes Ed25519 keys of OpenSSH for tests, with the library of the Go
// project and not with our own code.
package sshkeys

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// New returns a private key without a passphrase, and its public key in one line.
func New(t testing.TB) (private []byte, public string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Encode(t, key, "")
}

// Encode returns a private key, with a passphrase if there is one, and its public key
// in one line.
func Encode(t testing.TB, key any, passphrase string) (private []byte, public string) {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "a test's")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "a test's", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}
