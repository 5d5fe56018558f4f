package record_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/testing/chunks"
)

// For any chunk, nothing panics, each event is valid for the service, decoding
// again gives the same events, and nothing refers to the chunk afterwards.
func FuzzDecode(f *testing.F) {
	line := chunks.Line(noon, `{"level":"INFO","fields":{"message":"m"}}`, chunks.Kubernetes("nova", "feed", "app", "n"))
	f.Add([]byte(line))
	f.Add(chunks.Chunk(chunks.GroupStart(m{}, m{{"a", 1}}), line, chunks.GroupEnd(), chunks.V1(1.5, m{{"logtag", "P"}, {"log", "x"}})))
	f.Add([]byte{0x92, 0x92, 0xd7, 0x00, 0, 0, 0, 1, 0, 0, 0, 0, 0x80, 0x81, 0xa3, 'l', 'o', 'g', 0xc4, 2, 0xff, '"'})
	f.Add(bytes.Repeat([]byte{0x91}, 300))
	f.Add([]byte{0xc1})
	f.Fuzz(func(t *testing.T, chunk []byte) {
		chunk = append(chunks.V1(1, m{{"log", "before"}}), chunk...)
		gone := bytes.Clone(chunk)
		first, second := decoder(), decoder()
		c := first.Decode(gone, tag, 77)
		for i := range gone {
			gone[i] = 0xdd
		}
		if c.Panics > 0 {
			t.Error("it panicked")
		}
		got := events(t, c)
		for _, e := range got {
			if !jsontext.Value(e.Message).IsValid(lenient) {
				t.Errorf("the message is no JSON: %q", e.Message)
			}
		}
		if len(got) == 0 || got[0].Message != `{"message":"before",`+shownMember+"}" {
			t.Error("the record before is not what it was")
		}
		again := events(t, second.Decode(chunk, tag, 77))
		if diff := cmp.Diff(messages(got), messages(again)); diff != "" {
			t.Errorf("decoded twice (-once +twice):\n%s", diff)
		}
	})
}

// For any line, the message contains all its values or is its text.
func FuzzLine(f *testing.F) {
	logs, _ := filepath.Glob("testdata/*.log")
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			f.Add(string(bytes.TrimSuffix(line, []byte("\n"))))
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 100_000 {
			return // it comes in parts, which TooLong tests
		}
		c := decoder().Decode(chunks.V1(1, m{{"stream", "stdout"}, {"log", line}}), tag, 77)
		got := events(t, c)
		if len(got) != 1 || c.Panics > 0 {
			t.Fatalf("%d events, %d panics", len(got), c.Panics)
		}
		if line == "" || line[len(line)-1] != '\n' && line[len(line)-1] != '\r' {
			checkHolds(t, line, got[0].Message)
		}
	})
}
