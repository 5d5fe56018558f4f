package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

const day = 24 * time.Hour

// old makes backups as they would have been made some days ago. (Their prunes
// refuse, because the clock is that far off.)
func (b *environment) old(database string, days ...int) {
	b.t.Helper()
	for _, d := range days {
		b.at(-time.Duration(d)*day).must("run", "--databases", database)
	}
}

func (b *environment) count() int {
	b.t.Helper()
	return len(b.backups())
}

func TestPrune(t *testing.T) {
	b := newEnvironment(t)
	database := b.pg.Database(t, social...)
	b.old(database, 30, 20, 15, 6, 5)
	o := b.must("prune", "--dry-run")
	if strings.Count(o.stdout, "delete") != 2 || b.count() != 5 {
		t.Errorf("the plan is not to delete two, or it was carried out:\n%s", o.stdout)
	}
	ids := b.backups()
	b.must("hold", "--database", database, "--backup", ids[4].Backup, "--reason", "audit")
	b.must("drill", "--database", database, "--backup", ids[3].Backup)
	if b.must("prune"); b.count() != 5 {
		t.Errorf("deleted one that was held, or the newest verified; %d left", b.count())
	}
	b.must("hold", "--database", database, "--backup", ids[4].Backup, "--release")
	o = b.must("prune")
	if b.count() != 4 || o.result.Databases[0].Pruned != 1 {
		t.Errorf("%d left; result %+v", b.count(), o.result.Databases)
	}
	for _, key := range b.s3.Keys(t, b.bucket) {
		if strings.Contains(key, ids[4].Backup) {
			t.Errorf("left behind: %s", key)
		}
	}
}

func TestPrune_FortyDaysOfFailures(t *testing.T) {
	b := newEnvironment(t).with("KEEP_MINIMUM", "1")
	database := b.pg.Database(t, social...)
	b.old(database, 42, 41)
	broken := b.with("PG_BIN_DIR", shimmed(t, b.pg.Folder, "pg_dump", `[ "$1" = --version ] && exec `+b.pg.Folder+`/pg_dump --version; exit 1`))
	for range 5 {
		o := broken.fails(backupapi.CategorySource, "run", "--databases", database)
		if last := o.result.Databases[0].LastSuccess; last == nil || time.Since(*last) < 40*day {
			t.Errorf("the last success was %v", last)
		}
		if b.count() != 2 {
			t.Fatal("a run that failed pruned")
		}
	}
	b.must("prune")
	if b.count() != 1 {
		t.Errorf("%d left, want the newest", b.count())
	}
	b.must("verify")
}

func TestPrune_WrongClock(t *testing.T) {
	b := newEnvironment(t).with("KEEP_MINIMUM", "1", "RETENTION_DAYS", "1")
	database := b.pg.Database(t, social...)
	for range 3 {
		b.must("run", "--databases", database)
	}
	b.at(30*day).fails(backupapi.CategoryRefused, "prune")
	b.at(30*day).must("run", "--databases", database)
	if b.count() != 4 {
		t.Errorf("%d backups, want 4", b.count())
	}
}

func TestPrune_MoreThanHalf(t *testing.T) {
	b := newEnvironment(t).with("KEEP_MINIMUM", "1")
	b.old(b.pg.Database(t, social...), 30, 29, 28)
	b.fails(backupapi.CategoryRefused, "prune")
	if b.count() != 3 {
		t.Error("deleted all the same")
	}
	b.must("prune", "--take-many")
	if b.count() != 1 {
		t.Errorf("%d left", b.count())
	}
}

func TestPrune_ObjectLock(t *testing.T) {
	b := newEnvironment(t).with("KEEP_MINIMUM", "1")
	b.bucket = b.s3.Bucket(t, func(in *sdk.CreateBucketInput) { in.ObjectLockEnabledForBucket = aws.Bool(true) })
	b = b.with("S3_BUCKET", "s3://"+b.bucket+"/nova")
	b.old(b.pg.Database(t, social...), 30, 2)
	for _, key := range b.s3.Keys(t, b.bucket) {
		_, err := b.s3.Client().PutObjectRetention(t.Context(), &sdk.PutObjectRetentionInput{Bucket: &b.bucket, Key: &key, Retention: &types.ObjectLockRetention{
			Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: aws.Time(time.Now().Add(30 * day)),
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	o := b.must("prune")
	if b.count() != 2 || !strings.Contains(o.stdout, "locked in the store until") || o.result.Databases[0].Locked == 0 {
		t.Errorf("%d left\n%s", b.count(), o.stdout)
	}
}

func TestVerify_Damage(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"a byte that flipped": func(path string) error {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content[len(content)/2] ^= 0x10
			return os.WriteFile(path, content, 0o644)
		},
		"an object cut short": func(path string) error { return os.Truncate(path, 1000) },
		"an object gone":      os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			b := newEnvironment(t)
			database := b.pg.Database(t, social...)
			b.must("run", "--databases", database)
			for _, key := range b.s3.Keys(t, b.bucket) {
				if strings.HasSuffix(key, "/base.00000") {
					if err := damage(b.s3.Path(b.bucket, key)); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.fails(backupapi.CategoryVerify, "verify")
			if got := b.backups(); got[0].Problem == "" {
				t.Error("list does not show it")
			}
			b.fails(backupapi.CategoryVerify, "restore", "--database", database, "--to", database+"_no")
			b.fails(backupapi.CategoryVerify, "drill")
			if got := b.backups(); got[0].Verified != nil {
				t.Error("it counts as verified")
			}
			b.pg.Exec(t, "postgres", "DROP DATABASE IF EXISTS "+database+"_no")
		})
	}
}

func TestPrune_Orphans(t *testing.T) {
	b := newEnvironment(t).with("KEEP_MINIMUM", "1")
	database := b.pg.Database(t, social...)
	b.must("run", "--databases", database)
	id := backup.NewID(time.Now().Add(-72*time.Hour), 7)
	key := fmt.Sprintf("nova/%s/%s/base.00000", database, id)
	if _, err := b.s3.Client().PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &b.bucket, Key: &key, Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	b.must("prune") // the object itself is young: it may be a run's that is at work
	if keys := strings.Join(b.s3.Keys(t, b.bucket), " "); !strings.Contains(keys, id) {
		t.Error("swept too early")
	}
	old := time.Now().Add(-72 * time.Hour)
	if err := os.Chtimes(b.s3.Path(b.bucket, key), old, old); err != nil {
		t.Fatal(err)
	}
	b.must("prune")
	if keys := strings.Join(b.s3.Keys(t, b.bucket), " "); strings.Contains(keys, id) || b.count() != 1 {
		t.Errorf("not swept, or too much: %s", keys)
	}
}
