package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/signature"
	"github.com/nova/novawire/internal/testing/sshkeys"
)

// signing returns the environment with a signing key of its own and keys to trust.
func (b *environment) signing() (signed *environment, private []byte) {
	b.t.Helper()
	private, public := sshkeys.New(b.t)
	return b.with("SIGNING_KEY_FILE", write(b.t, "key", string(private)), "VERIFY_KEY_FILE", write(b.t, "keys.pub", public)), private
}

// copyOfBucket returns the environment with a bucket of its own, with the same objects.
func (b *environment) copyOfBucket() *environment {
	b.t.Helper()
	other := b.with()
	other.bucket = b.s3.Bucket(b.t)
	other.env["S3_BUCKET"] = "s3://" + other.bucket + "/nova"
	for _, key := range b.s3.Keys(b.t, b.bucket) {
		other.put(strings.TrimPrefix(key, "nova/"), b.get(strings.TrimPrefix(key, "nova/")))
	}
	return other
}

// tampering changes a bucket as someone can who may write it and has no key.
type tampering func(t *testing.T, b *environment, database, id string)

// editManifest changes the manifest and leaves its signature.
func editManifest(edit func(m map[string]any)) tampering {
	return func(t *testing.T, b *environment, database, id string) {
		t.Helper()
		key := backup.Folder(database, id) + backup.ManifestName
		var m map[string]any
		if err := json.Unmarshal([]byte(b.get(key)), &m); err != nil {
			t.Fatal(err)
		}
		edit(m)
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		b.put(key, string(body))
	}
}

// replaceObject changes an object of a stream and, if fit is set, the manifest's hash.
func replaceObject(kind string, fit bool) tampering {
	return func(t *testing.T, b *environment, database, id string) {
		t.Helper()
		var name, content string
		editManifest(func(m map[string]any) {
			for _, s := range m["streams"].([]any) {
				stream := s.(map[string]any)
				if stream["kind"] != kind {
					continue
				}
				object := stream["objects"].([]any)[0].(map[string]any)
				name = object["name"].(string)
				content = b.get(backup.Folder(database, id) + name)
				middle := len(content) / 2
				content = content[:middle] + string([]byte{content[middle] ^ 1}) + content[middle+1:]
				if fit {
					sum := sha256.Sum256([]byte(content))
					object["sha256"] = hex.EncodeToString(sum[:])
				}
			}
		})(t, b.with(), database, id)
		b.put(backup.Folder(database, id)+name, content)
	}
}

func signAgain(key func(t *testing.T) []byte, namespace string) tampering {
	return func(t *testing.T, b *environment, database, id string) {
		t.Helper()
		private, err := signature.ParseKey(key(t))
		if err != nil {
			t.Fatal(err)
		}
		editManifest(func(m map[string]any) { m["program"] = "another" })(t, b, database, id)
		manifest := backup.Folder(database, id) + backup.ManifestName
		b.put(manifest+signature.Suffix, string(private.Sign(namespace, []byte(b.get(manifest)))))
	}
}

// What someone changed who can write the bucket is refused by everything that would
// use it, before anything of it is run.
func TestSigning_Tampering(t *testing.T) {
	b, private := newEnvironment(t).signing()
	database := b.pg.Database(t, social...)
	b.must("run", "--databases", database)
	id := b.backups()[0].Backup
	cases := map[string]struct {
		tamper    tampering
		condition backup.Condition // that list shows; an object is only read later
	}{
		"the manifest is edited": {editManifest(func(m map[string]any) { m["program"] = "another" }), backup.Unsigned},
		"the manifest names another owner": {editManifest(func(m map[string]any) {
			m["facts"].(map[string]any)["properties"].(map[string]any)["owner"] = "mallory"
		}), backup.Unsigned},
		"roles are replaced":                             {replaceObject(backup.StreamGlobals, true), backup.Unsigned},
		"roles are replaced and the manifest is not":     {keepManifest(replaceObject(backup.StreamGlobals, false)), backup.Good},
		"the dump is replaced":                           {replaceObject(backup.StreamBase, true), backup.Unsigned},
		"the dump is replaced and the manifest is not":   {keepManifest(replaceObject(backup.StreamBase, false)), backup.Good},
		"the signature is removed":                       {removeSignature, backup.Unsigned},
		"another key has signed":                         {signAgain(func(t *testing.T) []byte { key, _ := sshkeys.New(t); return key }, signature.Manifest), backup.Unsigned},
		"the right key has signed for another purpose":   {signAgain(func(*testing.T) []byte { return private }, signature.Evidence), backup.Unsigned},
		"the summary says that the backup is a good one": {forgeSummary, backup.Unsigned},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := b.copyOfBucket()
			b.t = t
			c.tamper(t, b, database, id)
			if got := b.backups()[0].Condition; got != string(c.condition) {
				t.Errorf("list shows %q, want %q", got, c.condition)
			}
			target := fmt.Sprintf("tampered_%d", time.Now().UnixNano())
			b.fails(backupapi.CategoryVerify, "restore", "--database", database, "--globals", "--to", target)
			if n := b.pg.Value(t, "postgres", "SELECT count(*)::text FROM pg_database WHERE datname = '"+target+"'"); n != "0" {
				t.Error("a database was made of it")
			}
			b.fails(backupapi.CategoryVerify, "restore", "--database", database, "--backup", id, "--to", target)
			b.fails(backupapi.CategoryVerify, "drill")
			b.fails(backupapi.CategoryVerify, "verify")
		})
	}
}

// keepManifest puts the manifest back.
func keepManifest(tamper tampering) tampering {
	return func(t *testing.T, b *environment, database, id string) {
		t.Helper()
		key := backup.Folder(database, id) + backup.ManifestName
		before := b.get(key)
		tamper(t, b, database, id)
		b.put(key, before)
	}
}

func removeSignature(t *testing.T, b *environment, database, id string) {
	t.Helper()
	b.remove(backup.Folder(database, id) + backup.ManifestName + signature.Suffix)
}

// forgeSummary edits the manifest and has a program without keys write the summary.
func forgeSummary(t *testing.T, b *environment, database, id string) {
	t.Helper()
	editManifest(func(m map[string]any) { m["program"] = "another" })(t, b, database, id)
	b.with("SIGNING_KEY_FILE", "", "VERIFY_KEY_FILE", "").must("prune")
}

func TestSigning(t *testing.T) {
	plain := newEnvironment(t)
	database := plain.pg.Database(t, social...)
	b, _ := plain.signing()
	b.must("run", "--databases", database)
	first := b.backups()[0].Backup

	t.Run("a signed backup is restored, verified and drilled", func(t *testing.T) {
		target := database + "_signed"
		b.must("restore", "--database", database, "--to", target)
		b.same(database, target)
		b.must("verify")
		b.must("drill")
		if b.backups()[0].Verified == nil {
			t.Error("the drill is not shown")
		}
	})
	t.Run("who has no keys reads it too", func(t *testing.T) {
		plain.must("verify", "--database", database)
	})
	t.Run("a drill that anyone could have claimed is not shown", func(t *testing.T) {
		b := b.copyOfBucket()
		b.remove(backup.Folder(database, first) + backup.VerificationName + signature.Suffix)
		if listed := b.backups()[0]; listed.Verified != nil || listed.Condition != "" {
			t.Errorf("got %+v", listed)
		}
	})
	t.Run("after a rotation, old and new backups are trusted", func(t *testing.T) {
		private, public := sshkeys.New(t)
		old := b.file("VERIFY_KEY_FILE")
		rotated := b.with("SIGNING_KEY_FILE", write(t, "key", string(private)), "VERIFY_KEY_FILE", write(t, "keys.pub", public+"\n"+old))
		rotated.must("run", "--databases", database)
		for _, listed := range rotated.backups() {
			if listed.Condition != "" {
				t.Errorf("%+v", listed)
			}
		}
		if listed := b.backups(); listed[0].Condition != string(backup.Unsigned) || listed[1].Backup != first {
			t.Errorf("without the new key: %+v", listed)
		}
		o := b.must("restore", "--database", database, "--to", database+"_older")
		if !strings.Contains(o.stdout, first) {
			t.Errorf("restored %s", o.stdout)
		}
	})
	t.Run("a signing key that is not trusted is refused before any work", func(t *testing.T) {
		private, _ := sshkeys.New(t)
		b.with("SIGNING_KEY_FILE", write(t, "key", string(private))).fails(backupapi.CategoryUsage, "run")
	})
	t.Run("a key for manifests alone signs no drill", func(t *testing.T) {
		limited := b.with("VERIFY_KEY_FILE", write(t, "keys.pub", `nova namespaces="manifest@*" `+b.file("VERIFY_KEY_FILE")))
		limited.must("list")
		limited.fails(backupapi.CategoryUsage, "drill")
	})
}

func TestSigning_UnsignedBackups(t *testing.T) {
	plain := newEnvironment(t)
	database := plain.pg.Database(t, social...)
	plain.must("run", "--databases", database)
	b, _ := plain.signing()
	t.Run("are refused", func(t *testing.T) {
		b.fails(backupapi.CategoryVerify, "restore", "--database", database, "--to", database+"_no")
	})
	t.Run("are never pruned", func(t *testing.T) {
		o := b.at(100*24*time.Hour).run("prune", "--dry-run")
		if strings.Contains(o.stdout, "delete\t"+database) {
			t.Errorf("%s", o.stdout)
		}
	})
	t.Run("are used with a warning, if the setting says so", func(t *testing.T) {
		o := b.with("UNSIGNED_BACKUPS", "warn").must("restore", "--database", database, "--to", database+"_warned")
		if !strings.Contains(o.stderr, "it has no signature") {
			t.Errorf("no warning:\n%s", o.stderr)
		}
	})
	t.Run("appear as unsigned in list", func(t *testing.T) {
		if o := b.must("list"); !strings.Contains(o.stdout, "UNSIGNED: ") {
			t.Errorf("%s", o.stdout)
		}
	})
}

func TestSigning_KeyNeverShown(t *testing.T) {
	b, private := newEnvironment(t).signing()
	secret := strings.Split(string(private), "\n")[1]
	for name, file := range map[string]string{"a whole key": string(private), "a broken key": string(private)[:200]} {
		t.Run(name, func(t *testing.T) {
			o := b.with("SIGNING_KEY_FILE", write(t, path.Base(t.TempDir()), file), "DATABASE_URL", "postgres://127.0.0.1:1/x").run("run")
			if o.code == 0 || strings.Contains(o.stdout+o.stderr, secret[:30]) {
				t.Errorf("exit %d: %s", o.code, o.stderr)
			}
		})
	}
}
