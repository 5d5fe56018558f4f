package codec

import (
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// ErrNoIdentity reports that a stream is encrypted and that there is no identity.
var ErrNoIdentity = errors.New("the backup is encrypted, and there is no identity to decrypt it with")

// ParseRecipients reads age recipients, one per line. A line with # is a comment.
func ParseRecipients(r io.Reader) ([]age.Recipient, error) {
	recipients, err := age.ParseRecipients(r)
	if err != nil {
		return nil, fmt.Errorf("read age recipients: %w", err)
	}
	return recipients, nil
}

// ParseIdentities reads age identities, one per line. Its errors never contain a key.
func ParseIdentities(r io.Reader) ([]age.Identity, error) {
	identities, err := age.ParseIdentities(r)
	if err != nil { // the error of age may quote the line
		return nil, errors.New("read age identities: malformed, or of a kind that is not supported")
	}
	return identities, nil
}
