package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// Six backups are past the retention and something is wrong with the newest three.
func TestPrune_NotGood(t *testing.T) {
	manifest := func(b *environment, database, id string) string {
		return backup.Folder(database, id) + backup.ManifestName
	}
	for name, c := range map[string]struct {
		spoil func(b *environment, database, id string)
		want  string // the condition of the newest three
		kept  bool   // retention cannot judge them
	}{
		"damaged, as verify found": {func(b *environment, database, id string) {
			b.flip(database, id)
			b.fails(backupapi.CategoryVerify, "verify", "--database", database, "--backup", id)
		}, "damaged", false},
		"of an empty manifest":       {func(b *environment, database, id string) { b.put(manifest(b, database, id), "") }, "unreadable", true},
		"of a manifest of no fields": {func(b *environment, database, id string) { b.put(manifest(b, database, id), "{}") }, "unreadable", true},
		"of a manifest without streams": {func(b *environment, database, id string) {
			b.put(manifest(b, database, id), fmt.Sprintf(`{"format":1,"id":%q,"database":%q,"streams":[]}`, id, database))
		}, "empty", false},
		"without one of their objects": {func(b *environment, database, id string) {
			if err := os.Remove(b.s3.Path(b.bucket, "nova/"+backup.Folder(database, id)+"base.00000")); err != nil {
				b.t.Fatal(err)
			}
		}, "incomplete", false},
		"with a verdict that cannot be read": {func(b *environment, database, id string) {
			b.put(backup.Folder(database, id)+backup.VerificationName, `{"started":"yesterday"}`)
		}, "unproven", true},
	} {
		t.Run("newest three "+name, func(t *testing.T) {
			b := newEnvironment(t)
			database := b.pg.Database(t, social...)
			b.must("run", "--databases", database)
			first := b.ids()[0]
			var copies []string
			for days := 30; days < 36; days++ {
				copies = append(copies, b.copyTo(database, first, ago(days), nil))
			}
			b.delete(first)
			for _, id := range copies[:3] {
				c.spoil(b, database, id)
			}
			if got := b.conditions(database); !slices.Equal(got, []string{c.want, c.want, c.want, "", "", ""}) {
				t.Errorf("conditions %q", got)
			}
			want, category := copies[3:], backupapi.CategorySucceeded
			if c.kept {
				want, category = copies, backupapi.CategoryVerify
			}
			b.failed(b.run("prune"), category)
			got := b.ids()
			slices.Sort(got)
			want = slices.Sorted(slices.Values(want))
			if !slices.Equal(got, want) {
				t.Errorf("left %v\nwant %v", got, want)
			}
			b.must("restore", "--database", database, "--to", database+"_back")
			b.pg.Exec(t, "postgres", "DROP DATABASE "+database+"_back")
		})
	}
}

// brokenManifests are manifests that no run wrote for the backup that they stand for.
func brokenManifests(database, id string) map[string]string {
	fields := fmt.Sprintf(`"format":1,"id":%q,"database":%q`, id, database)
	base := `{"kind":"base","bytes":5,"objects":[{"name":"base.00000","size":5}]}`
	return map[string]string{
		"nothing":                    "",
		"no JSON":                    "<html>404</html>",
		"a JSON string":              `"manifest"`,
		"a JSON array":               "[]",
		"null":                       "null",
		"cut short":                  "{" + fields + `,"streams":[` + base,
		"something behind":           "{" + fields + `,"streams":[` + base + `]} {}`,
		"a Kubernetes manifest":      `{"apiVersion":"v1","kind":"List","items":[]}`,
		"a newer format":             strings.Replace("{"+fields+`,"streams":[`+base+`]}`, `"format":1`, `"format":2`, 1),
		"a negative format":          strings.Replace("{"+fields+`,"streams":[`+base+`]}`, `"format":1`, `"format":-1`, 1),
		"of another backup":          strings.Replace("{"+fields+`,"streams":[`+base+`]}`, id, "20200101T000000Z-000000", 1),
		"of another database":        strings.Replace("{"+fields+`,"streams":[`+base+`]}`, `"database":"`+database, `"database":"other`, 1),
		"a start that is not a date": "{" + fields + `,"started":"yesterday","streams":[` + base + `]}`,
		"a number that is text":      "{" + fields + `,"streams":[{"kind":"base","bytes":"5"}]}`,
		"a negative size":            "{" + fields + `,"streams":[{"kind":"base","bytes":5,"objects":[{"name":"base.00000","size":-5}]}]}`,
		"sizes that overflow":        "{" + fields + `,"streams":[{"kind":"base","bytes":9223372036854775807,"objects":[{"name":"base.00000","size":9223372036854775807}]}]}`,
		"rows that overflow":         "{" + fields + `,"streams":[` + base + `],"content":{"tables":{"a":{"rows":9223372036854775807},"b":{"rows":9223372036854775807}}}}`,
		"a name that leaves":         "{" + fields + `,"streams":[{"kind":"base","bytes":5,"objects":[{"name":"../../x","size":5}]}]}`,
		"nesting without an end":     strings.Repeat(`{"a":`, 100_000),
		"streams that are a number":  "{" + fields + `,"streams":7}`,
		"no streams":                 "{" + fields + "}",
		"streams that are null":      "{" + fields + `,"streams":null}`,
		"only globals":               "{" + fields + `,"streams":[{"kind":"globals","objects":[{"name":"globals.00000","size":5}]}]}`,
		"a base without objects":     "{" + fields + `,"streams":[{"kind":"base","objects":[]}]}`,
		"an unknown kind":            "{" + fields + `,"streams":[{"kind":"physical","objects":[{"name":"x","size":5}]}]}`,
	}
}

// Manifests that cannot be used are told, skipped and counted; other databases and
// other backups go on.
func TestVerify_UnusableManifests(t *testing.T) {
	b := newEnvironment(t)
	good, other := b.pg.Database(t, social...), b.pg.Database(t, social...)
	b.must("run", "--databases", good+","+other)
	newer := backup.NewID(time.Now().Add(time.Second), 1)
	for name, manifest := range brokenManifests(good, newer) {
		t.Run(name, func(t *testing.T) {
			b := b.on(t)
			b.put(backup.Folder(good, newer)+backup.ManifestName, manifest)
			for _, l := range b.backups() {
				if broken := l.Backup == newer; (l.Problem != "") != broken {
					t.Errorf("listed: %+v", l)
				}
			}
			o := b.fails(backupapi.CategoryVerify, "verify")
			if strings.Count(o.stdout, "every byte") != 2 || !strings.Contains(o.result.Message, newer) {
				t.Errorf("printed %q; result %+v", o.stdout, o.result)
			}
			for _, d := range o.result.Databases {
				if want := map[string]int{good: 1, other: 0}[d.Name]; d.Category != "" || d.NotGood != want {
					t.Errorf("result of %s: %+v", d.Name, d)
				}
			}
			b.failed(b.run("restore", "--database", good, "--backup", newer, "--to", good+"_no"), backupapi.CategoryVerify)
		})
	}
	t.Run("run and drill", func(t *testing.T) {
		b := b.on(t)
		o := b.must("run", "--databases", good+","+other)
		if d := o.result.Databases; d[0].NotGood != 1 || d[1].NotGood != 0 || !strings.Contains(o.stderr, "backup is not good") {
			t.Errorf("result %+v", o.result)
		}
		o = b.fails(backupapi.CategoryVerify, "drill")
		if strings.Count(o.stdout, "as in the manifest") != 2 {
			t.Errorf("drilled: %s", o.stdout)
		}
	})
	t.Run("a database that has no other manifest", func(t *testing.T) {
		b := b.on(t)
		b.put(backup.Folder("foreign", newer)+backup.ManifestName, "not ours")
		for _, verb := range []string{"verify", "drill"} {
			o := b.fails(backupapi.CategoryVerify, verb)
			if len(o.result.Databases) != 3 || o.result.Databases[0].Category+o.result.Databases[1].Category+o.result.Databases[2].Category != backupapi.CategoryVerify {
				t.Errorf("%s: %+v", verb, o.result.Databases)
			}
		}
	})
}

// on returns the same environment for a subtest.
func (b *environment) on(t *testing.T) *environment {
	t.Helper()
	other := *b
	other.t = t
	return &other
}

// A verdict that cannot be read ends nothing but its own backup's part.
func TestPrune_UnusableVerifications(t *testing.T) {
	b := newEnvironment(t).with("KEEP_MINIMUM", "1")
	database := b.pg.Database(t, social...)
	b.must("run", "--databases", database)
	first := b.ids()[0]
	for name, verdict := range map[string]string{
		"a start that is not a date": `{"started":"yesterday"}`,
		"nothing":                    "",
		"cut short":                  `{"format":1,"veri`,
		"no JSON":                    "<html>",
		"a list":                     "[]",
		"a text for a number":        `{"seconds":"5"}`,
		"a negative duration":        `{"format":1,"seconds":-5}`,
		"an endless duration":        `{"format":1,"seconds":1e300}`,
		"a number that is not":       `{"format":1,"rows":1e400}`,
		"of another backup":          `{"format":1,"verified":true,"id":"20200101T000000Z-000000","database":"` + database + `"}`,
		"5 MiB of it":                `{"format":1,"differences":["` + strings.Repeat("x", 5<<20) + `"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := b.on(t)
			// One with the verdict, one to delete.
			spoilt, old := b.copyTo(database, first, ago(20), nil), b.copyTo(database, first, ago(21), nil)
			defer b.delete(spoilt)
			b.put(backup.Folder(database, spoilt)+backup.VerificationName, verdict)
			o := b.fails(backupapi.CategoryVerify, "prune")
			left := b.ids()
			if slices.Contains(left, old) || !slices.Contains(left, spoilt) || !slices.Contains(left, first) {
				t.Errorf("left: %v", left)
			}
			if d := o.result.Databases[0]; d.Pruned != 1 || d.NotGood != 1 || !strings.Contains(o.result.Message, spoilt) {
				t.Errorf("result: %+v", o.result)
			}
		})
	}
}

// A backup that claims to be from the future is reported as clock skew, is never the
// latest, and never makes the age of the last good one smaller.
func TestMisdatedBackups(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"two hours": 2 * time.Hour, "a month": 30 * day, "nine years": 9 * 365 * day, "centuries": 290 * 365 * day} {
		t.Run(name, func(t *testing.T) {
			b := newEnvironment(t)
			database := b.pg.Database(t, social...)
			b.must("run", "--databases", database)
			first := b.ids()[0]
			future := b.copyTo(database, first, time.Now().Add(ahead), map[string]any{"started": time.Now().Add(ahead)})
			if got := b.conditions(database); !slices.Equal(got, []string{"misdated", ""}) {
				t.Fatalf("conditions %q", got)
			}
			if o := b.must("list"); !strings.Contains(o.stdout, "clock skew") {
				t.Errorf("list says:\n%s", o.stdout)
			}
			o := b.must("restore", "--database", database, "--to", database+"_back")
			if o.result.Databases[0].Backup != first || !strings.Contains(o.stderr, "newer backup is passed over") {
				t.Errorf("restored %s", o.result.Databases[0].Backup)
			}
			b.pg.Exec(t, "postgres", "DROP DATABASE "+database+"_back")
			b.must("hold", "--database", database)
			if !slices.ContainsFunc(b.backups(), func(l listed) bool { return l.Backup == first && l.Held }) {
				t.Error("hold took the one from the future")
			}
			if o := b.fails(backupapi.CategoryVerify, "verify"); o.result.Databases[0].Backup != first || !strings.Contains(o.result.Message, future) {
				t.Errorf("verify took %s", o.result.Databases[0].Backup)
			}
			o = b.fails(backupapi.CategorySource, "run", "--databases", database, "--pg-bin-dir", t.TempDir())
			if last := o.result.Databases[0].LastSuccess; last == nil || time.Since(*last).Abs() > time.Hour {
				t.Errorf("the last success is %v", last)
			}
			if !strings.Contains(o.stdout, `"BackupAge":`) || strings.Contains(o.stdout, `"BackupAge":-`) {
				t.Errorf("metrics: %s", o.stdout)
			}
			b.fails(backupapi.CategoryVerify, "prune", "--take-many")
			if !slices.Contains(b.ids(), future) {
				t.Error("it was deleted, although its age is not known")
			}
		})
	}
	t.Run("a run whose clock is ahead", func(t *testing.T) {
		b := newEnvironment(t)
		database := b.pg.Database(t, social...)
		b.must("run", "--databases", database)
		b.at(30*day).must("run", "--databases", database)
		o := b.at(30*day).must("run", "--databases", database)
		if last := o.result.Databases[0].LastSuccess; last == nil || time.Since(*last).Abs() > time.Hour || !strings.Contains(o.stderr, "clock skew") {
			t.Errorf("the last success is %v", last)
		}
	})
}

// An identity that does not fit proves nothing against a backup.
func TestVerify_WrongIdentity(t *testing.T) {
	b := newEnvironment(t)
	right, wrong := newIdentity(t), newIdentity(t)
	database := b.pg.Database(t, social...)
	b.with("ENCRYPTION_RECIPIENTS_FILE", write(t, "recipients", right.Recipient().String())).must("run", "--databases", database)
	b.must("verify")
	b.with("ENCRYPTION_IDENTITY_FILE", write(t, "right", right.String())).must("verify")
	b = b.with("ENCRYPTION_IDENTITY_FILE", write(t, "wrong", wrong.String()))
	for _, args := range [][]string{{"verify"}, {"restore", "--database", database, "--to", database + "_no"}} {
		b.fails(backupapi.CategoryUsage, args...)
	}
	if got := b.conditions(database); !slices.Equal(got, []string{""}) {
		t.Errorf("conditions %q", got)
	}
	for _, key := range b.s3.Keys(t, b.bucket) {
		if strings.HasSuffix(key, "/base.00000") { // the part of the header that an identity opens
			content, err := os.ReadFile(b.s3.Path(b.bucket, key))
			if err != nil {
				t.Fatal(err)
			}
			content[40] ^= 1
			if err := os.WriteFile(b.s3.Path(b.bucket, key), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.with("ENCRYPTION_IDENTITY_FILE", write(t, "right", right.String())).fails(backupapi.CategoryVerify, "verify")
	b.pg.Exec(t, "postgres", "DROP DATABASE IF EXISTS "+database+"_no")
}

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}
