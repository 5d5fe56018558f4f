package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMutation(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"-C", "testdata/sample", "."}, &stdout, &stderr)
	if code != 1 {
		t.Fatalf("exit %d, want 1: the sample is below the minimum\n%s%s", code, &stdout, &stderr)
	}
	for name, line := range map[string]string{
		"a returned error that no test looks at survives": `survived: sample/sample.go:20 Check: return nil for errors.New("negative")`,
		"a bound that no test touches survives":           "survived: sample/sample.go:19 Check: <= for n < 0",
		"what no test reaches is told apart":              "not reached: sample/sample.go:26 Unused: || for a && b",
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(stdout.String(), line) {
				t.Errorf("no line %q in:\n%s", line, &stdout)
			}
		})
	}
	t.Run("what the tests notice is killed", func(t *testing.T) {
		for _, mutant := range []string{"not < for n < low", "leave out n = low", "not > for n > high", "leave out n = high", "not < for n < 0"} {
			if strings.Contains(stdout.String(), mutant) {
				t.Errorf("%q survived:\n%s", mutant, &stdout)
			}
		}
	})
}

func TestMutation_Files(t *testing.T) {
	for pattern, want := range map[string]bool{".": true, ".:sample.go": true, ".:other.go,sample.go": true, ".:other.go": false} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"-C", "testdata/sample", "-list", pattern}, &stdout, &stderr); code != 0 || (stdout.Len() > 0) != want {
			t.Errorf("%s: exit %d: %s%s", pattern, code, &stdout, &stderr)
		}
	}
}

func TestMutation_Accepted(t *testing.T) {
	write := func(t *testing.T, text string) string {
		file := filepath.Join(t.TempDir(), "accepted")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	t.Run("an accepted survivor counts neither way", func(t *testing.T) {
		file := write(t, "# comment\nsample/sample.go Clamp: <= for n < low\tboth give low\nsample/sample.go Clamp: >= for n > high\tboth give high\n"+
			"sample/sample.go Check: return nil for errors.New(\"negative\")\tsample\nsample/sample.go Check: <= for n < 0\tsample\nsample/sample.go Unused: || for a && b\tsample\n"+
			"sample/sample.go Unused: return not a && b\tsample\n")
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"-C", "testdata/sample", "-accepted", file, "."}, &stdout, &stderr); code != 0 {
			t.Errorf("exit %d\n%s%s", code, &stdout, &stderr)
		}
	})
	t.Run("a survivor without a reason is refused", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"-C", "testdata/sample", "-accepted", write(t, "sample/sample.go Check: x\n"), "."}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "the reason") {
			t.Errorf("exit %d: %s", code, &stderr)
		}
	})
}
