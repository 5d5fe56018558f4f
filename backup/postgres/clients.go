package postgres

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// DefaultFolders are the folders that images keep PostgreSQL's programs in: those of
// Debian and the official images, Bitnami, the official Alpine images, Red Hat.
var DefaultFolders = []string{
	"/usr/lib/postgresql/*/bin", "/opt/bitnami/postgresql/bin", "/usr/local/bin", "/usr/bin",
	"/usr/libexec/postgresql*", "/usr/pgsql-*/bin",
}

// Clients are PostgreSQL's programs of one version.
type Clients struct {
	folder  string
	Version string
	Major   int
}

func (c Clients) program(name string) string { return filepath.Join(c.folder, name) }

// clientVersion reads what `pg_dump --version` prints.
var clientVersion = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// FindClients looks for a program in folders, which may be patterns, and returns
// the first of the major version that is wanted. Another major is refused: an
// older pg_dump cannot read the server, and what a newer one writes cannot always
// be restored into it.
func FindClients(ctx context.Context, folders []string, program string, major int) (Clients, error) {
	var found []string
	for _, folder := range expand(folders) {
		c, err := clientsIn(ctx, folder, program)
		if err != nil {
			continue
		}
		if c.Major == major {
			return c, nil
		}
		found = append(found, c.Version+" in "+folder)
	}
	if len(found) == 0 {
		return Clients{}, backup.Fail(backupapi.CategorySource, fmt.Errorf("find %s %d: no PostgreSQL client here; set %s", program, major, backupapi.EnvClientDirectory))
	}
	return Clients{}, backup.Fail(backupapi.CategorySource, fmt.Errorf("find %s %d: the server is version %d, the clients are %s: run with an image of the server's version", program, major, major, strings.Join(found, ", ")))
}

func clientsIn(ctx context.Context, folder, program string) (Clients, error) {
	path := filepath.Join(folder, program)
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{"LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		return Clients{}, err
	}
	m := clientVersion.FindSubmatch(out)
	if m == nil {
		return Clients{}, errors.New("its version is not PostgreSQL's")
	}
	major, err := strconv.Atoi(string(m[2]))
	return Clients{folder: folder, Version: string(m[1]), Major: major}, err
}

// expand resolves patterns, the highest version first, without a folder twice.
func expand(folders []string) (expanded []string) {
	for _, pattern := range folders {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		slices.Reverse(matches)
		for _, m := range matches {
			if !slices.Contains(expanded, m) {
				expanded = append(expanded, m)
			}
		}
	}
	return expanded
}
