package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestRestore_NotEmpty(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, social...)
	b.must("run", "--databases", source)
	before := sortedDump(t, b.pg, source)
	b.fails(backupapi.CategoryRefused, "restore", "--database", source)
	for name, statement := range map[string]string{"a table": "CREATE TABLE t ()", "a function": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "a schema": "CREATE SCHEMA s", "a large object": "SELECT lo_create(0)"} {
		t.Run(name, func(t *testing.T) {
			b.fails(backupapi.CategoryRefused, "restore", "--database", source, "--to", b.pg.Database(t, statement))
		})
	}
	b.must("restore", "--database", source, "--to", b.pg.Database(t)) // empty ones are taken
	if sortedDump(t, b.pg, source) != before {
		t.Error("the source changed")
	}
}

func TestDrill_OtherServers(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, social...)
	b.must("run", "--databases", source)
	b.pg.Exec(t, source, "DELETE FROM posts") // so that a restore into it would show
	before := b.pg.Value(t, source, "SELECT count(*)::text || max(oid)::text FROM pg_class")
	for _, url := range []string{b.pg.URL(source), "postgres://nobody@127.0.0.1:1/none", ""} {
		b.with("DATABASE_URL", url).must("drill", "--database", source)
	}
	if after := b.pg.Value(t, source, "SELECT count(*)::text || max(oid)::text FROM pg_class"); after != before || b.pg.Value(t, source, "SELECT count(*)::text FROM posts") != "0" {
		t.Error("the server in DATABASE_URL was written to")
	}
}

func TestDrill_Difference(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, social...)
	b.must("run", "--databases", source)
	key := "nova/" + source + "/" + b.backups()[0].Backup + "/manifest.json"
	m := b.manifest(key)
	users := m.Content.Tables["auth.users"]
	users.Sum++ // as if a restore lost something in a row
	m.Content.Tables["auth.users"] = users
	b.putManifest(key, m)
	o := b.fails(backupapi.CategoryVerify, "drill")
	if !strings.Contains(o.result.Message, "auth.users") {
		t.Errorf("message: %s", o.result.Message)
	}
	if got := b.backups(); got[0].Problem == "" || got[0].Verified != nil {
		t.Errorf("listed: %+v", got)
	}
}

func TestRestore_Only_Selection(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, social...)
	b.must("run", "--databases", source)
	tables := func(only string) string {
		target := b.pg.Database(t)
		b.must("restore", "--database", source, "--to", target, "--only", only)
		return b.pg.Value(t, target, `SELECT coalesce(string_agg(c.oid::regclass::text, ' ' ORDER BY c.oid::regclass::text), '') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'i', 'v', 'S') AND nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'`)
	}
	if got := tables("auth"); got != "auth.users auth.users_email_key auth.users_id_seq auth.users_pkey" {
		t.Errorf("of schema auth: %s", got)
	}
	if got := tables("public.posts"); got != "posts posts_body posts_id_seq posts_pkey" {
		t.Errorf("of table posts: %s", got)
	}
	b.fails(backupapi.CategoryUsage, "restore", "--database", source, "--to", source+"_no", "--only", "no_such_schema")
}

func TestRestore_SettingsAndGrants(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, social...)
	b.pg.Exec(t, "postgres", `DO $$ BEGIN CREATE ROLE keeper LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
		`ALTER DATABASE `+source+` SET search_path = auth, public`, `ALTER DATABASE `+source+` SET work_mem = '7MB'`,
		`ALTER ROLE keeper IN DATABASE `+source+` SET statement_timeout = '3s'`,
		`ALTER DATABASE `+source+` OWNER TO keeper`, `REVOKE CONNECT ON DATABASE `+source+` FROM PUBLIC`)
	b.must("run", "--databases", source)
	target := source + "_back"
	b.must("restore", "--database", source, "--to", target)
	settings := `SELECT string_agg(coalesce(r.rolname, '-') || array_to_string(setconfig, '|'), ' ' ORDER BY setrole) || ' ' ||
		(SELECT string_agg(a::text, ' ' ORDER BY a::text) || pg_get_userbyid(datdba) FROM pg_database, unnest(datacl) a WHERE datname = '%[1]s' GROUP BY datdba)
		FROM pg_db_role_setting LEFT JOIN pg_roles r ON r.oid = setrole WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = '%[1]s')`
	want, got := b.pg.Value(t, "postgres", fmt.Sprintf(settings, source)), b.pg.Value(t, "postgres", fmt.Sprintf(settings, target))
	if want != got {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
}

// The commands in a manifest are all that is needed: `aws` (here a stand-in that
// does the one GET), zstd and PostgreSQL's clients.
func TestManifest_ManualRestore(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		pgtest.Missing(t, "zstd", "postgresql")
	}
	b := newEnvironment(t)
	source := b.pg.Database(t, append(append([]string{}, social...), grown(`"Big.Table"`, 80)...)...)
	b.must("run", "--databases", source)
	m := b.manifest("nova/" + source + "/" + b.backups()[0].Backup + "/manifest.json")
	bin := t.TempDir()
	get := "#!/bin/sh\n[ \"$1 $2 $4\" = 's3 cp -' ] || exit 2\nexec env " + beAWS + "=1 " + beProgram + "= \"$SELF\" \"$3\"\n"
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte(get), 0o755); err != nil {
		t.Fatal(err)
	}
	target := source + "_hand"
	cmd := exec.Command("sh", "-e", "-c", strings.Join(m.Restore, "\n"))
	cmd.Env = []string{
		"PATH=" + bin + ":" + b.pg.Folder + ":/usr/bin:/bin", "NEW=" + target, "SELF=" + os.Args[0], "ENDPOINT=" + b.s3.Endpoint,
		"PGHOST=127.0.0.1", "PGPORT=" + b.pg.Port, "PGUSER=" + pgtest.Superuser,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, strings.Join(m.Restore, "\n"))
	}
	b.same(source, target)
	b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
}

const beAWS = "PG_BACKUP_TEST_BE_AWS"

// awsGet writes the object of an s3:// URL to stdout.
func awsGet(url string) error {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(url, "s3://"), "/")
	server := pgtest.S3{Endpoint: os.Getenv("ENDPOINT")}
	out, err := server.Client().GetObject(context.Background(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	_, err = io.Copy(os.Stdout, out.Body)
	return err
}

func (b *environment) manifest(key string) (m backup.Manifest) {
	b.t.Helper()
	content, err := os.ReadFile(b.s3.Path(b.bucket, key))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(content, &m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

func (b *environment) putManifest(key string, m backup.Manifest) {
	b.t.Helper()
	content, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.s3.Client().PutObject(b.t.Context(), &sdk.PutObjectInput{Bucket: &b.bucket, Key: &key, Body: strings.NewReader(string(content))}); err != nil {
		b.t.Fatal(err)
	}
}
