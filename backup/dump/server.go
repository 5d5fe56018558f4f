package dump

import (
	"context"
	"fmt"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// knownServer returns the system identifier of the server that made the newest good
// backup of the store; "" where that is not known.
func (r *Runner) knownServer(ctx context.Context) string {
	inventory, err := backup.ReadInventory(ctx, r.Store, "")
	if err != nil {
		r.Log.Warn("server was not compared with that of the last backup", "error", err)
		return ""
	}
	var newest backup.Record
	for _, records := range inventory.Backups {
		last, found := records.Newest(func(r backup.Record) bool { return r.Good() && r.Summary.Server != "" })
		if found && last.Entry.ID > newest.Entry.ID {
			newest = last
		}
	}
	return newest.Summary.Server
}

// checkServer refuses to mix the backups of two servers: they would prune each other,
// and a restore could bring back the wrong one.
func (r *Runner) checkServer(identifier string) error {
	if r.AcceptServer || r.server == "" || identifier == "" || r.server == identifier {
		return nil
	}
	return backup.Fail(backupapi.CategoryRefused, fmt.Errorf(
		"%s holds the backups of another server: its system identifier is %s, this server's is %s: set S3_BUCKET to another prefix, or, if this server replaces that one, run `pg-backup run --accept-server` once",
		r.Store.Location(), r.server, identifier))
}
