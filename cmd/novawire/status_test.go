package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/cluster"
)

// cancelling ends the context with the first write.
type cancelling struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (w *cancelling) Write(p []byte) (int, error) {
	w.cancel()
	return w.Buffer.Write(p)
}

func TestStatus_Watch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, cluster.Kubeconfig(t, cluster.Config(t)), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelling{cancel: cancel}
	if err := run(ctx, []string{"status", "--watch", "--kubeconfig", file}, nil, out, &bytes.Buffer{}); err != nil {
		t.Errorf("Ctrl-C is a failure: %v", err)
	}
	if !strings.HasPrefix(out.String(), "NAMESPACE") {
		t.Errorf("printed %q", out)
	}
}

func TestNamespaceStatus_Backups(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	entry := func(databases ...backupapi.DatabaseStatus) statusEntry {
		return statusEntry{Status: backupapi.Status{Databases: databases}}
	}
	for name, c := range map[string]struct {
		backups []statusEntry
		want    string
	}{
		"none": {nil, "-"},
		"the oldest ages count": {
			[]statusEntry{entry(backupapi.DatabaseStatus{LastSuccess: ago(3 * time.Hour), LastVerified: ago(72 * time.Hour)}), entry(backupapi.DatabaseStatus{LastSuccess: ago(9 * time.Hour), LastVerified: ago(48 * time.Hour)})},
			"2 databases, last backup 9h, last restore 3d",
		},
		"never is older than all": {
			[]statusEntry{entry(backupapi.DatabaseStatus{LastSuccess: ago(3 * time.Hour)}, backupapi.DatabaseStatus{})},
			"2 databases, last backup never, last restore never, 1 not ok",
		},
		"a source without databases": {[]statusEntry{entry()}, "0 databases, 1 not ok"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&namespaceStatus{Backups: c.backups}).backups(now); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestShellWord(t *testing.T) {
	for value, want := range map[string]string{
		"arn:aws:eks:eu-central-1:1:cluster/nova": "arn:aws:eks:eu-central-1:1:cluster/nova",
		"a b":       "'a b'",
		"a'; rm -r": `'a'\''; rm -r'`,
		"":          "''",
	} {
		if got := shellWord(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
