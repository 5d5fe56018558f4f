package signature

import (
	"encoding/binary"
	"errors"
)

// errMalformed says that bytes are not of SSH's wire format (RFC 4251, section 5).
var errMalformed = errors.New("malformed")

// reader reads fields of SSH's wire format. Its first error stays.
type reader struct {
	left []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.left) {
		r.err = errMalformed
		return nil
	}
	taken := r.left[:n]
	r.left = r.left[n:]
	return taken
}

func (r *reader) literal(text string) {
	if got := r.take(len(text)); r.err == nil && string(got) != text {
		r.err = errMalformed
	}
}

func (r *reader) number() uint32 {
	if b := r.take(4); r.err == nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// field reads a string of the format: its length and its bytes.
func (r *reader) field() []byte {
	n := r.number()
	if uint64(n) > uint64(len(r.left)) {
		r.err = errMalformed
	}
	return r.take(int(n))
}

// end returns an error if anything was malformed or is left.
func (r *reader) end() error {
	if r.err == nil && len(r.left) > 0 {
		r.err = errMalformed
	}
	return r.err
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func field(content []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...) //nolint:gosec // of our own, short
}

func fields(contents ...[]byte) (all []byte) {
	for _, content := range contents {
		all = append(all, field(content)...)
	}
	return all
}
