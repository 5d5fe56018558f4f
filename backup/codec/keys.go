package codec

import (
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// ErrNoIdentity says that a stream is encrypted and no identity was given.
var ErrNoIdentity = errors.New("the backup is encrypted, and there is no identity to decrypt it with")

// ParseRecipients reads age recipients, one a line; # begins a comment.
func ParseRecipients(r io.Reader) ([]age.Recipient, error) {
	recipients, err := age.ParseRecipients(r)
	if err != nil {
		return nil, fmt.Errorf("read age recipients: %w", err)
	}
	return recipients, nil
}

// ParseIdentities reads age identities, one a line. Its errors show no key.
func ParseIdentities(r io.Reader) ([]age.Identity, error) {
	identities, err := age.ParseIdentities(r)
	if err != nil { // age's own message names the line, and may quote it
		return nil, errors.New("read age identities: malformed, or of a kind that is not supported")
	}
	return identities, nil
}
