package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/evidence"
	"github.com/nova/novawire/backup/signature"
	"github.com/nova/novawire/backup/store/folder"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/testing/sshkeys"
)

// writable is a folder that records are written to.
type writable struct {
	backup.Store

	dir string
}

func (w writable) List(ctx context.Context, prefix string, each func(backup.Object) error) error {
	r, err := folder.Open(w.dir)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.List(ctx, prefix, each)
}

func (w writable) Open(_ context.Context, key string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(w.dir, key))
}

func (w writable) PutNew(_ context.Context, key string, body []byte) error {
	path := filepath.Join(w.dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o600)
}

func TestBackupEvidence(t *testing.T) {
	private, public := sshkeys.New(t)
	key, err := signature.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keys := filepath.Join(t.TempDir(), "keys.pub")
	if err := os.WriteFile(keys, []byte(public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		r := evidence.Record{Format: evidence.Format, Database: "nova_auth\x1b", Backup: backup.NewID(time.Unix(1e9, 0), uint32(n)), Verified: true, Rows: 7, RunBy: "cron", Host: "h"}
		if _, err := evidence.Append(t.Context(), writable{dir: dir}, key, r); err != nil {
			t.Fatal(err)
		}
	}
	command := func(args ...string) (stdout string, err error) {
		var out bytes.Buffer
		err = run(t.Context(), append([]string{"backup", "evidence"}, args...), strings.NewReader(""), &out, &out)
		return out.String(), err
	}
	t.Run("list shows each record", func(t *testing.T) {
		out, err := command("list", "--folder", dir, "--verify-key", keys)
		if err != nil || strings.Count(out, "cron@h") != 3 || strings.Contains(out, "\x1b") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("verify accepts a chain that nobody has changed", func(t *testing.T) {
		if out, err := command("verify", "--folder", dir, "--verify-key", keys); err != nil || !strings.Contains(out, "ok") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("verify prints JSON", func(t *testing.T) {
		out, err := command("verify", "--folder", dir, "--verify-key", keys, "-o", "json")
		var chains []evidence.Chain
		if err != nil || json.Unmarshal([]byte(out), &chains) != nil || len(chains) != 1 || len(chains[0].Entries) != 3 {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("a wrong command line is refused", func(t *testing.T) {
		for _, args := range [][]string{
			{"verify"},
			{"verify", "--folder", dir},
			{"verify", "--folder", dir, "sts/x"},
			{"verify", "sts/x", "--verify-key", keys},
			{"verify", "--folder", dir, "--verify-key", "/nonexistent"},
			{"verify", "--folder", "/nonexistent", "--verify-key", keys},
			{"verify", "--folder", dir, "--verify-key", keys, "-o", "xml"},
		} {
			if out, err := command(args...); err == nil || commandline.ExitCode(err) != commandline.ExitUsage {
				t.Errorf("%v: %v\n%s", args, err, out)
			}
		}
	})
	t.Run("verify finds a missing record", func(t *testing.T) {
		if err := os.Remove(filepath.Join(dir, evidence.Folder("nova_auth\x1b"), "00000002.json")); err != nil {
			t.Fatal(err)
		}
		out, err := command("verify", "--folder", dir, "--verify-key", keys)
		if err == nil || commandline.ExitCode(err) != commandline.ExitProblem || !strings.Contains(out, "MISSING  00000002.json") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
