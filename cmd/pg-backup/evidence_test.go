package main

import (
	"encoding/json"
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/evidence"
	"github.com/nova/novawire/backup/signature"
)

// chain returns the evidence of a database.
func (b *environment) chain(database string) evidence.Chain {
	b.t.Helper()
	o := b.run("evidence", "-o", "json", "--database", database)
	var chains []evidence.Chain
	if err := json.Unmarshal([]byte(o.stdout), &chains); err != nil || len(chains) != 1 {
		b.t.Fatalf("%v: %s\n%s", err, o.stdout, o.stderr)
	}
	return chains[0]
}

func TestEvidence(t *testing.T) {
	b, _ := newEnvironment(t).signing()
	database := b.pg.Database(t, social...)
	b.must("run", "--databases", database)
	id := b.backups()[0].Backup
	b.with("RUN_BY", "quarterly drill").must("drill")
	b.must("drill")

	t.Run("a drill leaves a record of what it has restored", func(t *testing.T) {
		b.must("evidence", "verify")
		c := b.chain(database)
		if len(c.Entries) != 2 || len(c.Problems) > 0 {
			t.Fatalf("got %+v", c)
		}
		e := c.Entries[0]
		listed := b.backups()[0]
		if !e.Verified || e.Backup != id || e.Rows != listed.Rows || e.Tables == 0 || e.RestoreSeconds <= 0 || e.RunBy != "quarterly drill" || e.Host == "" ||
			e.Content == nil || e.Content.Rows() != listed.Rows || e.RestoredInto == "" || e.BackedUpFrom == "" || !e.Finished.After(e.Started) || e.Manifest == "" {
			t.Errorf("got %+v", e)
		}
		if c.Entries[1].Fingerprint != e.Fingerprint {
			t.Error("two drills of one backup have other fingerprints")
		}
	})
	t.Run("a failed drill leaves one too", func(t *testing.T) {
		b := b.copyOfBucket()
		b.t = t
		keepManifest(replaceObject(backup.StreamBase, false))(t, b, database, id)
		b.fails(backupapi.CategoryVerify, "drill")
		if e := b.chain(database).Entries[2]; e.Verified || len(e.Differences) == 0 {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("without a signing key there is no record", func(t *testing.T) {
		b := b.copyOfBucket().with("SIGNING_KEY_FILE", "")
		b.must("drill")
		if n := len(b.chain(database).Entries); n != 2 {
			t.Errorf("%d records", n)
		}
	})
	t.Run("the next backup names the newest record, so that a missing end is found", func(t *testing.T) {
		b := b.copyOfBucket()
		b.must("run", "--databases", database)
		if c := b.chain(database); c.Anchored != 2 || len(c.Problems) > 0 {
			t.Errorf("got %+v", c)
		}
		b.remove(evidence.Folder(database) + "00000002.json")
		o := b.fails(backupapi.CategoryVerify, "evidence", "verify")
		if !strings.Contains(o.stdout, "MISSING") {
			t.Errorf("%s", o.stdout)
		}
	})
	t.Run("a changed record is refused by verify and by the next drill", func(t *testing.T) {
		b := b.copyOfBucket()
		key := evidence.Folder(database) + "00000001.json"
		b.put(key, strings.Replace(b.get(key), `quarterly`, `yearly`, 1))
		b.fails(backupapi.CategoryVerify, "evidence", "verify")
		o := b.fails(backupapi.CategoryVerify, "drill")
		if !strings.Contains(o.result.Message, "the evidence was tampered with") {
			t.Errorf("message %q", o.result.Message)
		}
		if c := b.chain(database); len(c.Entries) != 2 || c.Entries[1].Sequence != 3 {
			t.Errorf("the chain does not go on: %+v", c)
		}
	})
	t.Run("no key, no verdict", func(t *testing.T) { b.with("VERIFY_KEY_FILE", "").fails(backupapi.CategoryUsage, "evidence", "verify") })
	t.Run("no evidence is a failure", func(t *testing.T) {
		b := b.copyOfBucket()
		for _, name := range []string{"00000001.json", "00000002.json"} {
			b.remove(evidence.Folder(database) + name)
		}
		b.fails(backupapi.CategoryVerify, "evidence", "verify")
	})
	t.Run("retention leaves evidence alone", func(t *testing.T) {
		b := b.copyOfBucket()
		for _, name := range []string{backup.ManifestName, backup.ManifestName + signature.Suffix} {
			b.remove(backup.Folder(database, id) + name)
		}
		b.must("prune")
		if c := b.chain(database); len(c.Entries) != 2 || len(c.Problems) > 0 {
			t.Errorf("got %+v", c)
		}
	})
}
