package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/backup"
)

func (p program) installVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "install DIR",
		Short: "Copy this program into a folder, for another image to run",
		Long:  "Copies the program to DIR/pg-backup, and writes DIR/passwd, a copy of /etc/passwd with a line for the user it runs\nas: initdb, which a drill needs, refuses a user without one. Mount it at /etc/passwd.\n\n" + exitCodes(),
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := install(args[0]); err != nil {
				category := backup.Category(cmd.Context(), err)
				set, _ := p.settings(cmd) // only for the format of the log
				set.logger(p).Error("install failed", "category", category, "exit_code", category.ExitCode(), "error", err)
				return reportedError{category, err}
			}
			return nil
		},
	}
}

func install(dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usageError("install: %q is not a folder", dir)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := copyFile(self, filepath.Join(dir, "pg-backup"), 0o755); err != nil {
		return fmt.Errorf("install the program: %w", err)
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("read /etc/passwd: %w", err)
	}
	if err := replace(filepath.Join(dir, "passwd"), bytes.NewReader(withUser(passwd, os.Getuid(), os.Getgid())), 0o644); err != nil {
		return fmt.Errorf("install passwd: %w", err)
	}
	return nil
}

// withUser adds a line for a user id that has none.
func withUser(passwd []byte, uid, gid int) []byte {
	for _, line := range bytes.Split(passwd, []byte("\n")) {
		if fields := bytes.Split(line, []byte(":")); len(fields) > 2 && string(fields[2]) == fmt.Sprint(uid) {
			return passwd
		}
	}
	if len(passwd) > 0 && !bytes.HasSuffix(passwd, []byte("\n")) {
		passwd = append(passwd, '\n')
	}
	return fmt.Appendf(passwd, "pg-backup:x:%d:%d:pg-backup:/nonexistent:/usr/sbin/nologin\n", uid, gid)
}

func copyFile(from, to string, mode os.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	return replace(to, source, mode)
}

// replace writes a file beside its place and renames it, so that it is whole or
// not there, and can be replaced while it runs.
func replace(to string, from io.Reader, mode os.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // renamed, unless something failed
	if _, err := io.Copy(file, from); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Chmod(mode); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), to)
}
