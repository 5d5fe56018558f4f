package codec

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestWriter_RoundTrip(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"nothing": 0, "a byte": 1, "a frame": FrameSize, "five and a half frames": FrameSize*11/2 + 3} {
		for _, recipients := range [][]age.Recipient{nil, {identity.Recipient()}} {
			t.Run(name, func(t *testing.T) {
				want := sample(size)
				stored := pack(t, want, recipients...)
				r, err := NewReader(bytes.NewReader(stored), recipients != nil, identity)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("got %d bytes and error %v, want %d bytes", len(got), err, len(want))
				}
			})
		}
	}
}

func TestWriter_ZstdProgram(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		pgtest.Missing(t, "the zstd program", "postgresql")
	}
	for _, size := range []int{0, FrameSize*2 + 17} {
		cmd := exec.Command("zstd", "-d")
		cmd.Stdin = bytes.NewReader(pack(t, sample(size)))
		got, err := cmd.Output()
		if err != nil || !bytes.Equal(got, sample(size)) {
			t.Errorf("%d bytes: got %d and error %v", size, len(got), err)
		}
	}
}

func TestReader_FlippedBit(t *testing.T) {
	stored := pack(t, sample(5000))
	for range 200 {
		bad := bytes.Clone(stored)
		at := rand.IntN(len(bad))
		bad[at] ^= 1 << rand.IntN(8)
		if got, err := unpack(bad); err == nil && bytes.Equal(got, sample(5000)) {
			continue // an unused bit of a frame's header
		} else if err == nil {
			t.Fatalf("byte %d flipped, read without an error", at)
		}
	}
}

func TestWriter_Failure(t *testing.T) {
	full := errors.New("store is full")
	w, err := NewWriter(failing{full})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for range 100 {
		if _, last = w.Write(make([]byte, FrameSize)); last != nil {
			break
		}
	}
	if closed := w.Close(); !errors.Is(last, full) || !errors.Is(closed, full) {
		t.Errorf("Write returned %v, Close returned %v", last, closed)
	}
}

func TestReader_WithoutIdentity(t *testing.T) {
	if _, err := NewReader(strings.NewReader(""), true); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("got %v", err)
	}
}

func TestIdentities_ErrorsHideKeys(t *testing.T) {
	_, err := ParseIdentities(strings.NewReader("AGE-SECRET-KEY-1BROKEN"))
	if err == nil || strings.Contains(err.Error(), "BROKEN") {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func pack(t *testing.T, data []byte, recipients ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, recipients...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(stored []byte) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(stored), false)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// sample returns text that compresses about as well as rows.
func sample(size int) []byte {
	words := []string{"alpha", "beta", "gamma", "delta", "\t", "\n", "42", "2026-11-22"}
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, 0, size+16)
	for len(out) < size {
		out = append(out, words[r.IntN(len(words))]...)
	}
	return out[:size]
}
