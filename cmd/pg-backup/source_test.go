package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestRun_Passwords(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg)
	const password = `p@ss:/?#%&'" é`
	pg.Exec(t, "postgres", `CREATE ROLE odd SUPERUSER LOGIN PASSWORD 'p@ss:/?#%&''" é'`, `CREATE DATABASE kept`)
	pg.Exec(t, "kept", social...)
	pg.HBA(t, "host all postgres 127.0.0.1/32 trust\nhost all odd 127.0.0.1/32 scram-sha-256\nlocal all all trust\n")
	for name, written := range map[string]string{"as it is": password, "encoded": `p%40ss%3A%2F%3F%23%25%26%27%22%20%C3%A9`} {
		t.Run(name, func(t *testing.T) {
			b := b.with("DATABASE_URL", pg.URLAs("odd", written, ""))
			o := b.must("run", "--databases", "kept")
			if strings.Contains(o.stdout+o.stderr, "p@ss") || strings.Contains(o.stdout+o.stderr, "p%40ss") {
				t.Error("the password is in the output")
			}
			b.must("restore", "--database", "kept", "--to", "back")
			pg.Exec(t, "postgres", "DROP DATABASE back")
		})
	}
	o := b.with("DATABASE_URL", pg.URLAs("odd", "wrong-"+password, "")).run("run", "--databases", "kept")
	b.failed(o, backupapi.CategoryPermission)
	if strings.Contains(o.stderr, "p@ss") {
		t.Error("the password is in the error")
	}
}

func TestUsageErrors_PasswordOnCommandLine(t *testing.T) {
	b := newEnvironment(t)
	o := b.fails(backupapi.CategoryUsage, "run", "--database-url", "postgres://u:hunter2@h/db")
	if strings.Contains(o.stderr, "hunter2") {
		t.Error("and shown")
	}
}

func TestRun_Pooler(t *testing.T) {
	const pgbouncer = "/usr/sbin/pgbouncer"
	if _, err := os.Stat(pgbouncer); err != nil {
		pgtest.Missing(t, "PgBouncer", "postgresql")
	}
	b := newEnvironment(t)
	database := b.pg.Database(t, social...)
	for _, ignore := range []string{"", "ignore_startup_parameters = extra_float_digits,options,statement_timeout\n"} {
		port := startPgBouncer(t, pgbouncer, b.pg.Port, ignore)
		url := fmt.Sprintf("postgres://postgres@127.0.0.1:%s/%s?sslmode=disable", port, database)
		o := b.with("DATABASE_URL", url).run("run")
		b.failed(o, backupapi.CategorySource)
		if !strings.Contains(o.result.Message, "PgBouncer") {
			t.Errorf("the message does not help: %s", o.result.Message)
		}
	}
}

func startPgBouncer(t *testing.T, program, serverPort, more string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ini := filepath.Join(dir, "pgbouncer.ini")
	content := "[databases]\n* = host=127.0.0.1 port=" + serverPort + "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " + port +
		"\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\nserver_tls_sslmode = disable\n" + more
	content = strings.Replace(content, "* = host=127.0.0.1", "* = user=postgres host=127.0.0.1", 1)
	if err := os.WriteFile(ini, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, ini)
	if err := pgtest.Unprivileged(cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pgtest.Eventually(t, "PgBouncer listens", 10*time.Second, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return port
}

func TestRun_ClientsOfAnotherMajor(t *testing.T) {
	b := newEnvironment(t)
	database := b.pg.Database(t, social...)
	for name, version := range map[string]string{"older than the server": "9.6.24", "newer than the server": "99.1"} {
		t.Run(name, func(t *testing.T) {
			shims := shimmed(t, b.pg.Folder, "pg_dump", "echo 'pg_dump (PostgreSQL) "+version+"'")
			o := b.with("PG_BIN_DIR", shims).run("run", "--databases", database)
			b.failed(o, backupapi.CategorySource)
			if !strings.Contains(o.result.Message, version) || !strings.Contains(o.result.Message, fmt.Sprint(b.pg.Major)) {
				t.Errorf("the message names not both versions: %s", o.result.Message)
			}
			b.nothingLeft()
		})
	}
}

func TestRun_MissingPrivilege(t *testing.T) {
	cases := []struct {
		name       string
		statements []string
	}{
		{"a table that was added and not granted", []string{`CREATE TABLE seen (a int)`, `GRANT SELECT ON seen TO reader`, `CREATE TABLE added (a int)`}},
		{"row security without BYPASSRLS", []string{`CREATE TABLE rls (a int)`, `ALTER TABLE rls ENABLE ROW LEVEL SECURITY`, `INSERT INTO rls VALUES (1)`, `GRANT SELECT ON rls TO reader`}},
		{"a sequence that was not granted", []string{`CREATE SEQUENCE counted`}},
		{"a large object of someone else", []string{`SELECT lo_from_bytea(0, 'x')`}},
	}
	b := newEnvironment(t)
	b.pg.Exec(t, "postgres", `DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			database := b.pg.Database(t, c.statements...)
			limited := b.with("DATABASE_URL", b.pg.URLAs("reader", "", database))
			limited.fails(backupapi.CategoryPermission, "run")
			if o := limited.fails(backupapi.CategoryPermission, "run", "--dry-run"); !strings.Contains(o.stdout, "BAD") {
				t.Errorf("the dry run shows nothing bad:\n%s", o.stdout)
			}
			b.nothingLeft()
		})
	}
}

func TestRun_ReadAllData(t *testing.T) {
	b := newEnvironment(t)
	database := b.pg.Database(t, social[:len(social)-1]...) // large objects need more than pg_read_all_data
	b.pg.Exec(t, "postgres", `DO $$ BEGIN CREATE ROLE all_reader LOGIN IN ROLE pg_read_all_data; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
	limited := b.with("DATABASE_URL", b.pg.URLAs("all_reader", "", database))
	limited.must("run", "--dry-run")
	limited.must("run")
	b.must("drill")
}

func TestRun_LockedTable(t *testing.T) {
	b := newEnvironment(t).with("LOCK_WAIT_TIMEOUT", "1s")
	database := b.pg.Database(t, social...)
	conn := b.pg.Connect(t, database)
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE posts IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	b.fails(backupapi.CategoryLockHeld, "run", "--databases", database)
	b.nothingLeft()
}

func TestRun_TimeoutsOfRole(t *testing.T) {
	b := newEnvironment(t)
	database := largeDatabase(t)
	b.pg.Exec(t, "postgres", `DO $$ BEGIN CREATE ROLE hasty SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
		`ALTER ROLE hasty SET statement_timeout = '150ms'`, `ALTER ROLE hasty SET idle_in_transaction_session_timeout = '150ms'`, `ALTER ROLE hasty SET lock_timeout = '1ms'`)
	b.with("DATABASE_URL", b.pg.URLAs("hasty", "", database)).must("run")
}

func TestRun_LockHeld(t *testing.T) {
	b := newEnvironment(t)
	database := largeDatabase(t)
	ended, open := b.stopped(t.Context(), "run", "--databases", database)
	b.with("TERMINATION_MESSAGE_PATH", write(t, "second", "")).fails(backupapi.CategoryLockHeld, "run", "--databases", database)
	open()
	if o := <-ended; o.code != 0 {
		t.Errorf("the first run failed too: %s", o.stderr)
	}
	if got := b.backups(); len(got) != 1 {
		t.Errorf("%d backups", len(got))
	}
}

func TestRun_OneDatabaseFails(t *testing.T) {
	b := newEnvironment(t)
	good := b.pg.Database(t, social...)
	o := b.fails(backupapi.CategorySource, "run", "--databases", "no_such_database,"+good)
	if len(o.result.Databases) != 2 || o.result.Databases[0].Category != backupapi.CategorySource || o.result.Databases[1].Backup == "" {
		t.Errorf("result: %+v", o.result.Databases)
	}
	if got := b.backups(); len(got) != 1 || got[0].Database != good {
		t.Errorf("backups: %+v", got)
	}
}

func TestRun_WholeServer(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg)
	pg.Exec(t, "postgres", `CREATE DATABASE nova_auth`, `CREATE DATABASE "Odd name, 100%/"`, `CREATE DATABASE closed ALLOW_CONNECTIONS false`, `CREATE ROLE app LOGIN PASSWORD 'x'`)
	pg.Exec(t, "nova_auth", social...)
	b.must("run")
	var names []string
	for _, l := range b.backups() {
		names = append(names, l.Database)
	}
	if got := strings.Join(names, "|"); got != "Odd name, 100%/|nova_auth|postgres" {
		t.Errorf("backed up: %s", got)
	}
	b.must("drill")
	b.must("prune", "--dry-run")
}
