package record_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/record"
	"github.com/nova/novawire/internal/testing/chunks"
)

var update = flag.Bool("update", false, "write the golden files anew")

func decoder() *record.Decoder {
	return &record.Decoder{Pods: &record.Pods{Node: "node-a", Destination: func(*record.Pod) any { return nil }}}
}

// event is an event of a chunk in the form that the service receives.
type event struct {
	Timestamp int64
	Message   string
	size      int
	tally     record.Tally
	pod       *record.Pod
}

// events decodes the entries. Each must be JSON of the protocol.
func events(t testing.TB, c *record.Chunk) (all []event) {
	t.Helper()
	for i := range c.Events {
		e := event{size: c.Events[i].Size, tally: c.Tally(&c.Events[i]), pod: c.Events[i].Pod}
		var entry struct {
			Timestamp int64  `json:"timestamp"`
			Message   string `json:"message"`
		}
		if err := json.Unmarshal(c.Entry(&c.Events[i]), &entry, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("entry %d is no JSON: %v\n%.300s", i, err, c.Entry(&c.Events[i]))
		}
		if entry.Timestamp != c.Events[i].Time {
			t.Errorf("entry %d has time %d, the event %d", i, entry.Timestamp, c.Events[i].Time)
		}
		e.Timestamp, e.Message = entry.Timestamp, entry.Message
		if e.size != len(e.Message) || e.size > record.MaxMessage {
			t.Errorf("event %d counts %d bytes, the message has %d", i, e.size, len(e.Message))
		}
		all = append(all, e)
	}
	return all
}

// Each golden file holds the messages for the lines of the log file beside it, in
// order. tracing-subscriber 0.3.16 wrote the log files that testdata/lines.rs
// names.
func TestDecoder_Golden(t *testing.T) {
	logs, _ := filepath.Glob("testdata/*.log")
	for _, path := range logs {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".log"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			var chunk []byte
			for _, line := range lines {
				chunk = append(chunk, chunks.Line(chunks.Noon, line, chunks.Kubernetes("nova", "user-service", "app", "node-a"))...)
			}
			decoded := events(t, decoder().Decode(chunk, "kube.x", 0))
			var got strings.Builder
			for i, e := range decoded {
				checkHolds(t, lines[i], e.Message)
				fmt.Fprintln(&got, e.Message)
				if e.tally != (record.Tally{}) {
					fmt.Fprintf(&got, "  counts %+v\n", e.tally)
				}
			}
			golden(t, strings.TrimSuffix(path, ".log")+".golden", got.String())
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

// checkHolds reports values of the line that the message lacks.
func checkHolds(t testing.TB, line, message string) {
	t.Helper()
	want, ok := leaves(strings.ToValidUTF8(line, "\ufffd"))
	if !ok {
		var text struct {
			Message string `json:"message"`
		}
		if err := json.Unmarshal([]byte(message), &text); err != nil || text.Message != strings.ToValidUTF8(strings.TrimSuffix(line, "\r"), "\ufffd") {
			t.Errorf("the text %.200q is not what %.200s says: %v", line, message, err)
		}
		return
	}
	got, ok := leaves(message)
	if !ok {
		t.Errorf("the message is no object: %.200s", message)
	}
	for leaf, n := range want {
		if got[leaf] < n {
			t.Errorf("%.200s\nis missing from\n%.1000s", leaf, message)
		}
	}
}

// lenient accepts JSON as programs log it: duplicate names, unpaired surrogates.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// leaves counts the scalar values of an object up to depth 128.
func leaves(text string) (map[string]int, bool) {
	if jsontext.Value(text).Kind() != '{' || !jsontext.Value(text).IsValid(lenient) {
		return nil, false
	}
	all, d := map[string]int{}, jsontext.NewDecoder(strings.NewReader(text), lenient)
	for {
		token, err := d.ReadToken()
		if err != nil || d.StackDepth() > 128 {
			return all, errors.Is(err, io.EOF)
		}
		switch in, n := d.StackIndex(d.StackDepth()); {
		case strings.ContainsRune("{}[]", rune(token.Kind())):
		case in != '{' || n%2 == 0: // not a name
			all[token.String()]++
		}
	}
}
