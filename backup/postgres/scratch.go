package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// Scratch starts temporary servers of the backup's version. Each has a folder of its own
// and listens only on a socket in that folder, so that a drill never reaches another
// server.
type Scratch struct {
	Folders []string // where to look for the server's programs
	Parent  string   // of the servers' folders; "" is the system's temporary folder
}

// scratchUser is the superuser of a scratch server. No backup has a role of that name, so
// all roles of a backup can be created.
const scratchUser = "novawire_drill"

// scratchPort is part of the socket's name. Server and clients get it explicitly, because
// PGPORT may be set for another server.
const scratchPort = "5432"

type scratchServer struct {
	Target
	source  Source
	folder  string
	version string
	server  *exec.Cmd
	exited  chan struct{}
}

// Start implements [backup.Scratch].
func (s *Scratch) Start(ctx context.Context, m backup.Manifest) (backup.ScratchServer, error) {
	major := m.Facts.Server.Major
	clients, err := FindClients(ctx, s.Folders, "postgres", major)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(s.Parent, "drill-")
	if err != nil {
		return nil, fmt.Errorf("create the folder of the scratch server: %w", err)
	}
	address := Address{Host: folder, Port: scratchPort, User: scratchUser, parameters: map[string]string{}}
	folders := append([]string{clients.folder}, s.Folders...)
	server := &scratchServer{
		Target:  Target{Address: address, Folders: folders, Major: major, TablespaceFolder: folder},
		source:  Source{Address: address, Folders: folders, LockWait: time.Minute},
		folder:  folder,
		version: clients.Version,
	}
	if err := server.start(ctx, clients, extensionSettings(m)); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return server, nil
}

// scratchSettings makes a scratch server fast. Its data need not survive a crash.
var scratchSettings = map[string]string{
	"listen_addresses": "", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
	"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "4GB", "autovacuum": "off",
	"shared_buffers": "64MB", "logging_collector": "off",
}

func (s *scratchServer) start(ctx context.Context, clients Clients, extensions map[string]string) error {
	credential, err := unprivileged(s.folder)
	if err != nil {
		return err
	}
	data := filepath.Join(s.folder, "data")
	env := []string{"LC_ALL=C"}
	initialize := command(ctx, clients.program("initdb"), env, "--pgdata="+data, "--username="+scratchUser,
		"--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	initialize.SysProcAttr = credential
	initialize.Dir = s.folder
	if out, err := initialize.CombinedOutput(); err != nil {
		return backup.Fail(backupapi.CategorySource, fmt.Errorf("initdb: %w: %s", err, tail(out)))
	}
	args := []string{"-D", data, "-k", s.folder, "-p", scratchPort}
	for _, settings := range []map[string]string{scratchSettings, extensions} {
		for name, value := range settings {
			args = append(args, "-c", name+"="+value)
		}
	}
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return fmt.Errorf("create the scratch server's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	s.server = exec.Command(clients.program("postgres"), args...) //nolint:noctx // Stop ends it, even if ctx has ended
	s.server.Env = env
	s.server.Dir = s.folder
	s.server.Stdout, s.server.Stderr = log, log
	s.server.SysProcAttr = credential
	if err := s.server.Start(); err != nil {
		return backup.Fail(backupapi.CategorySource, fmt.Errorf("start the scratch server: %w", err))
	}
	s.exited = make(chan struct{})
	go func() {
		_ = s.server.Wait()
		close(s.exited)
	}()
	return s.awaitReady(ctx)
}

// startTimeout is how long a server may need until it accepts connections.
const startTimeout = time.Minute

func (s *scratchServer) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := open(ctx, s.Address, "postgres")
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
			return backup.Fail(backupapi.CategorySource, fmt.Errorf("start the scratch server: it ended: %s", tail(log)))
		case <-ctx.Done():
			return backup.Fail(backupapi.CategorySource, fmt.Errorf("start the scratch server: %w", err))
		case <-tick.C:
		}
	}
}

// Open implements [backup.ScratchServer].
func (s *scratchServer) Open(ctx context.Context, database string) (backup.Snapshot, error) {
	return s.source.Open(ctx, database)
}

// Version implements [backup.ScratchServer].
func (s *scratchServer) Version() string { return s.version }

// Stop implements [backup.ScratchServer].
func (s *scratchServer) Stop() error {
	if s.exited != nil {
		_ = s.server.Process.Signal(syscall.SIGQUIT) // immediate shutdown: no data is needed any more
		select {
		case <-s.exited:
		case <-time.After(shutdownTimeout):
			_ = s.server.Process.Kill()
			<-s.exited
		}
	}
	if err := os.RemoveAll(s.folder); err != nil {
		return fmt.Errorf("remove the scratch server: %w", err)
	}
	return nil
}

// unprivileged returns the attributes of a process that runs as the user postgres, and
// gives the folder to that user, if this process runs as root: PostgreSQL refuses root.
func unprivileged(folder string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryUsage, errors.New("PostgreSQL refuses to run as root, and there is no user postgres: run the drill as another user"))
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr, os.Chown(folder, int(uid), int(gid))); err != nil {
		return nil, fmt.Errorf("give the folder to postgres: %w", err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}
