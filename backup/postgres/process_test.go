package postgres

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

func TestStderrBuffer_Classify(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		category backupapi.Category
		conflict bool
		says     string
	}{
		"a standby's recovery":   {"pg_dump: error: Dumping the contents of table \"orders\" failed: PQgetResult() failed.\npg_dump: detail: Error message from server: ERROR:  canceling statement due to conflict with recovery", backupapi.CategorySource, true, "hot_standby_feedback"},
		"a table that is locked": {"pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout", backupapi.CategoryLockHeld, true, "lock timeout"},
		"a missing right":        {"pg_dump: error: query failed: ERROR:  permission denied for table secrets", backupapi.CategoryPermission, false, "secrets"},
		"anything else":          {"pg_dump: error: out of memory", backupapi.CategorySource, false, "out of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			var said stderrBuffer
			_, _ = said.Write([]byte(c.text))
			err := said.classify(exec.Command("pg_dump"), errors.New("exit status 1"))
			if backup.Category(t.Context(), err) != c.category || errors.Is(err, backup.ErrConflict) != c.conflict || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
