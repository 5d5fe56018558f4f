package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTranscript runs the commands in the console blocks of the pages, in the root of the
// tree, and compares what they print with what the page shows.
func TestTranscript(t *testing.T) {
	t.Chdir("../..")
	for _, file := range []string{"docs/preview.md", "docs/redaction.md"} {
		t.Run(file, func(t *testing.T) { testTranscript(t, file) })
	}
}

func testTranscript(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	got := regexp.MustCompile("(?s)```console\n(.*?)```\n").ReplaceAllStringFunc(string(text), func(block string) string {
		var out strings.Builder
		out.WriteString("```console\n")
		for line := range strings.Lines(block) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ novawire ")
			if !ok {
				continue
			}
			commands++
			stdout, stderr, _ := cli(t, "", strings.Fields(command)...)
			out.WriteString(line + stderr + stdout)
		}
		return out.String() + "```\n"
	})
	if commands == 0 {
		t.Fatalf("%s has no commands", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("-page +program (go test ./cmd/novawire -run TestTranscript -update rewrites):\n%s", diff)
	}
}
