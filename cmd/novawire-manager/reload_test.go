package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nova/novawire/internal/commandline"
)

func TestReloader(t *testing.T) {
	var log bytes.Buffer
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(previous) })
	file := filepath.Join(t.TempDir(), "config.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("injection: {clusterName: first}\n")
	r, err := newReloader(file, time.Second, prometheus.NewRegistry(), false)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "has no version") {
		t.Errorf("no warning about the missing version in %s", &log)
	}
	first := r.Engine().Hash()
	t.Run("rejects a bad file once and keeps the previous configuration", func(t *testing.T) {
		write("injection: {clusterNam: typo}\n")
		r.checkFile()
		r.checkFile()
		if n := testutil.ToFloat64(r.failures); n != 1 || r.Engine().Hash() != first {
			t.Errorf("%v failures, hash %s, want 1 and %s", n, r.Engine().Hash(), first)
		}
	})
	t.Run("loads a corrected file", func(t *testing.T) {
		write("injection: {clusterName: second}\n")
		r.checkFile()
		if r.Engine().Hash() == first {
			t.Error("the corrected file was not loaded")
		}
	})
	t.Run("says at each change that what it asks to repair is not repaired", func(t *testing.T) {
		const warning = "the component repair is not installed"
		for text, want := range map[string]bool{
			"repair: {mode: evict}\n":                                        true,
			"repair: {namespaces: {nova: restart}}\n":                        true,
			"repair: {mode: none, namespaces: {nova: none}, perMinute: 7}\n": false,
		} {
			log.Reset()
			write(text)
			if r.checkFile(); strings.Contains(log.String(), warning) != want || !strings.Contains(log.String(), "configuration reloaded") {
				t.Errorf("%s: warned is not %t: %s", text, want, &log)
			}
		}
	})
	// The kubelet replaces the file while it is read: the program has to load the
	// content that it compared, or it misses a change until the next one.
	t.Run("loads the content that it compared", func(t *testing.T) {
		write("injection: {clusterName: third}\n")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write("injection: {clusterNam: typo}\n")
		before := testutil.ToFloat64(r.failures)
		if err := r.load(text); err != nil {
			t.Errorf("loading the content that was read: %v", err)
		}
		r.checkFile()
		if testutil.ToFloat64(r.failures) != before+1 {
			t.Error("the change during the first read was missed")
		}
	})
	t.Run("a file that is absent for a moment changes nothing", func(t *testing.T) {
		hash, failures := r.Engine().Hash(), testutil.ToFloat64(r.failures)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		r.checkFile()
		if r.Engine().Hash() != hash || testutil.ToFloat64(r.failures) != failures {
			t.Error("an absent file was treated as a change")
		}
	})
}

func TestManager_RefusesBadInterval(t *testing.T) {
	for _, interval := range []string{"0", "0s", "-1s"} {
		err := run(t.Context(), []string{"--config-interval", interval}, nil, io.Discard, io.Discard)
		if commandline.ExitCode(err) != commandline.ExitUsage || !strings.Contains(err.Error(), "config-interval") {
			t.Errorf("--config-interval %s: %v", interval, err)
		}
	}
}

// Manifests of v0.1 pass the argument webhook: the image may be changed before them.
func TestManager_Arguments(t *testing.T) {
	for args, want := range map[string]string{
		"webhook --config-interval 0":         "config-interval",
		"--config-interval 0":                 "config-interval",
		"webhooks --config-interval 0":        `it takes no argument, got "webhooks"`,
		"webhook webhook --config-interval 0": `it takes no argument, got "webhook"`,
		"--confg x":                           "did you mean --config?",
	} {
		err := run(t.Context(), strings.Fields(args), nil, io.Discard, io.Discard)
		if err == nil || commandline.ExitCode(err) != commandline.ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
