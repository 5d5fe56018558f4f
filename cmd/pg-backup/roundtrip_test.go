package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	backupapi "github.com/nova/novawire/api/backup"
)

func TestRestore_RoundTrip(t *testing.T) {
	for name, statements := range map[string][]string{"a social network": social, "nasty names and shapes": nasty, "odd tables of many rows": odd, "nothing at all": nil} {
		t.Run(name, func(t *testing.T) {
			b := newEnvironment(t)
			source := b.pg.Database(t, statements...)
			o := b.must("run", "--databases", source)
			if len(o.result.Databases) != 1 || o.result.Databases[0].LastSuccess == nil {
				t.Errorf("result: %+v", o.result)
			}
			target := source + "_back"
			b.must("restore", "--database", source, "--to", target)
			plain := plainCopy(t, b.pg, source)
			b.same(plain, target)
			b.must("verify", "--deep")
			b.must("drill")
			if got := b.backups(); len(got) != 1 || got[0].Verified == nil || got[0].Problem != "" {
				t.Errorf("listed: %+v", got)
			}
			b.pg.Exec(t, "postgres", "DROP DATABASE "+target, "DROP DATABASE "+plain)
		})
	}
}

func TestRestore_RoundTrip_SeparateTables(t *testing.T) {
	b := newEnvironment(t).with("PARALLELISM", "3")
	source := b.pg.Database(t, append(append(grown(`"Big.Table"`, 80), grown("second", 70)...), social...)...)
	b.must("run", "--databases", source)
	streams := 0
	for _, key := range b.s3.Keys(t, b.bucket) {
		if strings.Contains(key, "/data-") {
			streams++
		}
	}
	if streams != 2 {
		t.Errorf("%d tables were dumped apart, want 2", streams)
	}
	target := source + "_back"
	b.must("restore", "--database", source, "--to", target)
	b.same(source, target)
	b.must("drill")
	b.must("verify", "--deep")
	b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
}

func TestRestore_Encrypted(t *testing.T) {
	b := newEnvironment(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recipients := write(t, "recipients", "# the vault's\n"+identity.Recipient().String()+"\n")
	identities := write(t, "identities", identity.String()+"\n")
	source := b.pg.Database(t, social...)
	b = b.with("ENCRYPTION_RECIPIENTS_FILE", recipients)
	b.must("run", "--databases", source)
	b.must("verify")
	b.fails(backupapi.CategoryUsage, "restore", "--database", source, "--to", source+"_no")
	b = b.with("ENCRYPTION_IDENTITY_FILE", identities)
	b.must("verify", "--deep")
	b.must("restore", "--database", source, "--to", source+"_back")
	b.same(source, source+"_back")
	b.must("drill")
	b.pg.Exec(t, "postgres", "DROP DATABASE "+source+"_back")

	// Without the identity only the stored bytes can be compared: SHA-256 sees them.
	path := b.s3.Path(b.bucket, "nova/"+source+"/"+b.backups()[0].Backup+"/base.00000")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	b.with("ENCRYPTION_IDENTITY_FILE", "").fails(backupapi.CategoryVerify, "verify")
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
