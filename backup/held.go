package backup

import (
	"fmt"
	"time"
)

// Held is what a snapshot costs the server: while it is held, no vacuum removes a row
// that it can see.
type Held struct {
	Seconds float64 `json:"seconds"`
	// Transactions is the age of the oldest transaction that the snapshot does not
	// see as ended: age(backend_xmin).
	Transactions int64 `json:"transactions"`
	// Limit is the age at which the server vacuums by force: autovacuum_freeze_max_age.
	Limit int64 `json:"limit"`
}

// warningShare of the limit may pass without a warning: a tenth, which leaves
// nine nights for whatever else holds vacuum back.
const warningShare = 10

// Warning returns a warning if the cost is high, and "" otherwise.
func (h Held) Warning() string {
	if h.Limit == 0 || h.Transactions <= h.Limit/warningShare {
		return ""
	}
	held := (time.Duration(h.Seconds) * time.Second).String()
	return fmt.Sprintf("the snapshot held vacuum back for %s and %d transactions, of %d at which the server vacuums by force (autovacuum_freeze_max_age): back up when less is written, or a standby", held, h.Transactions, h.Limit)
}
