package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

func TestFindClients(t *testing.T) {
	root := t.TempDir()
	for major, version := range map[string]string{"14": "14.19 (Debian 14.19-1)", "15": "15.18 (Debian 15.18-0+deb12u1)", "17": "17.2", "18": "18beta1"} {
		dir := filepath.Join(root, major, "bin")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\necho 'pg_dump (PostgreSQL) " + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, "pg_dump"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	folders := []string{filepath.Join(root, "nowhere"), filepath.Join(root, "*", "bin")}
	for major, version := range map[int]string{14: "14.19", 15: "15.18", 17: "17.2", 18: "18beta1"} {
		c, err := FindClients(t.Context(), folders, "pg_dump", major)
		if err != nil || c.Version != version || c.Major != major {
			t.Errorf("%d: got %+v and error %v", major, c, err)
		}
	}
	_, err := FindClients(t.Context(), folders, "pg_dump", 16)
	if backup.Category(t.Context(), err) != backupapi.CategorySource || !strings.Contains(err.Error(), "15.18") {
		t.Errorf("16: got %v", err)
	}
	if _, err := FindClients(t.Context(), nil, "pg_dump", 15); err == nil || !strings.Contains(err.Error(), backupapi.EnvClientDirectory) {
		t.Errorf("none at all: got %v", err)
	}
}

func TestTablePattern(t *testing.T) {
	for want, table := range map[string]backup.Table{
		`"public"."users"`:        {Schema: "public", Name: "users"},
		`"Sch.ema"."Ta""b*le?"`:   {Schema: "Sch.ema", Name: `Ta"b*le?`},
		`"with space"."dollar$1"`: {Schema: "with space", Name: "dollar$1"},
	} {
		if got := pattern(table); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
