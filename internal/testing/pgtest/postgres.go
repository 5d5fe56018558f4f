package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a server of the test's own.
type Postgres struct {
	Port   string
	Folder string // with its programs
	Major  int
	dir    string
	proc   *process
	args   []string
}

// Superuser is its superuser; connections from loopback need no password but for
// roles that have one and connect to a database named in pg_hba.
const Superuser = "postgres"

var shared = sync.OnceValues(func() (*Postgres, error) {
	p, err := newPostgres()
	if err == nil {
		atExit(p.Stop)
	}
	return p, err
})

// SharedPostgres returns the one server of the package's tests.
func SharedPostgres(t testing.TB) *Postgres {
	t.Helper()
	needPostgres(t)
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// NewPostgres starts a server for one test, which may do to it what it likes.
func NewPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	needPostgres(t)
	p, err := newPostgres(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// Programs is the folder of PostgreSQL's programs; "" if there is none.
func Programs() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

func needPostgres(t testing.TB) {
	t.Helper()
	if Programs() == "" {
		Missing(t, "PostgreSQL's server", "postgresql")
	}
}

// Unprivileged runs a command as postgres where the tests run as root.
func Unprivileged(cmd *exec.Cmd) error {
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return nil
}

func newPostgres(settings ...string) (*Postgres, error) {
	dir, err := ownedFolder()
	if err != nil {
		return nil, err
	}
	p := &Postgres{Folder: Programs(), dir: dir}
	p.Major, _ = strconv.Atoi(filepath.Base(filepath.Dir(p.Folder)))
	initialize := exec.CommandContext(context.Background(), filepath.Join(p.Folder, "initdb"), "-D", p.data(), "-U", Superuser, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	initialize.Dir = dir
	if err := Unprivileged(initialize); err != nil {
		return nil, err
	}
	if out, err := initialize.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if p.Port, err = freePort(); err != nil {
		return nil, err
	}
	p.serve(settings)
	return p, p.Start()
}

// serve says how the server is started.
func (p *Postgres) serve(settings []string) {
	p.args = []string{"-D", p.data(), "-p", p.Port, "-k", p.dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=128MB", "-c", "lc_messages=C"}
	for _, s := range settings {
		p.args = append(p.args, "-c", s)
	}
}

// ownedFolder makes a folder in which PostgreSQL may write.
func ownedFolder() (string, error) {
	dir, err := folder("pgtest-")
	if err != nil {
		return "", err
	}
	if account, err := user.Lookup("postgres"); err == nil && os.Geteuid() == 0 {
		uid, _ := strconv.Atoi(account.Uid)
		gid, _ := strconv.Atoi(account.Gid)
		return dir, os.Chown(dir, uid, gid)
	}
	return dir, nil
}

// Standby starts a standby of the server, which follows it by streaming.
func (p *Postgres) Standby(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	s, err := p.standby(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func (p *Postgres) standby(settings []string) (*Postgres, error) {
	s := &Postgres{Folder: p.Folder, Major: p.Major}
	var err error
	if s.dir, err = ownedFolder(); err != nil {
		return nil, err
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	copied := exec.CommandContext(context.Background(), filepath.Join(p.Folder, "pg_basebackup"), "-D", s.data(), "-R", "--checkpoint=fast", "--no-sync", "-h", "127.0.0.1", "-p", p.Port, "-U", Superuser)
	copied.Dir = s.dir
	if err := Unprivileged(copied); err != nil {
		return nil, err
	}
	if out, err := copied.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	s.serve(settings)
	return s, s.Start()
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// HBA replaces the rules for logging in.
func (p *Postgres) HBA(t testing.TB, rules string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.data(), "pg_hba.conf"), []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	p.Exec(t, "postgres", "SELECT pg_reload_conf()")
}

// Start runs the server; it is called again after Kill.
func (p *Postgres) Start() (err error) {
	cmd := exec.CommandContext(context.Background(), filepath.Join(p.Folder, "postgres"), p.args...)
	cmd.Dir = p.dir
	if err := Unprivileged(cmd); err != nil {
		return err
	}
	if p.proc, err = startProcess(cmd, filepath.Join(os.TempDir(), filepath.Base(p.dir)+".log")); err != nil {
		return err
	}
	err = p.proc.ready(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	return nil
}

// Stop ends the server and removes it.
func (p *Postgres) Stop() {
	p.proc.stop(syscall.SIGQUIT)
	_ = os.RemoveAll(p.dir)
	_ = os.Remove(p.proc.log)
}

// Kill kills the server and its backends as kill -9 does.
func (p *Postgres) Kill() {
	backends := children(p.proc.cmd.Process.Pid)
	p.proc.stop(syscall.SIGKILL)
	for _, pid := range backends {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range backends { // they hold the shared memory that a new server wants
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && exists(pid); {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func exists(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func children(parent int) (pids []int) {
	found, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range found {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// URL is how its superuser reaches a database.
func (p *Postgres) URL(database string) string { return p.URLAs(Superuser, "", database) }

// URLAs is how a role does. The password is written as it is.
func (p *Postgres) URLAs(role, password, database string) string {
	if password != "" {
		role += ":" + password
	}
	return fmt.Sprintf("postgres://%s@127.0.0.1:%s/%s?sslmode=disable", role, p.Port, database)
}

// Connect logs in as the superuser.
func (p *Postgres) Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := p.connect(database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (p *Postgres) connect(database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(p.URL("postgres"))
	if err != nil {
		return nil, err
	}
	config.Database = database
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return pgx.ConnectConfig(context.Background(), config)
}

// Exec runs statements.
func (p *Postgres) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	conn, err := p.connect(database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(context.Background(), s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

// Value runs a query that gives one text.
func (p *Postgres) Value(t testing.TB, database, query string) (value string) {
	t.Helper()
	conn, err := p.connect(database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), query).Scan(&value); err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	return value
}

var databases atomic.Int64

// Database makes a database of a new name, filled by statements.
func (p *Postgres) Database(t testing.TB, statements ...string) string {
	t.Helper()
	name := fmt.Sprintf("db_%d", databases.Add(1))
	p.Exec(t, "postgres", "CREATE DATABASE "+name)
	p.Exec(t, name, statements...)
	t.Cleanup(func() {
		conn, err := p.connect("postgres")
		if err != nil {
			return // a test that killed its server
		}
		defer conn.Close(context.Background())
		_, _ = conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})
	return name
}

// NewFolder makes an empty folder that belongs to the server, as a tablespace needs.
func (p *Postgres) NewFolder(t testing.TB) string {
	t.Helper()
	dir, err := folder("pgtest-tablespace-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		if out, err := exec.Command("chown", "postgres:", dir).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v: %s", err, out)
		}
	}
	return dir
}
