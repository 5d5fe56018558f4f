package smoke

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// backupCheck checks that a database has a recent backup.
func (o Options) backupCheck(b Backup) check {
	c := check{namespace: b.Namespace, target: b.StatefulSet + "/" + b.Database, kind: KindBackup}
	if b.Database == "" {
		c.target = b.StatefulSet
	}
	if b.Suspended != "" {
		c.skip = "suspended: " + b.Suspended
	}
	c.run = func(context.Context) error {
		switch {
		case len(b.Refused) > 0:
			return fmt.Errorf("settings are refused: %s", strings.Join(b.Refused, "; "))
		case b.LastSuccess == nil:
			return fmt.Errorf("there is no backup")
		case o.Now().Sub(*b.LastSuccess) > o.BackupAge:
			return fmt.Errorf("the last backup is %s old, more than %s", o.Now().Sub(*b.LastSuccess).Round(time.Minute), o.BackupAge)
		}
		return nil
	}
	return c
}
