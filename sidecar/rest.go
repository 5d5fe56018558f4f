package sidecar

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/nova/novawire/sidecar/ledger"
)

// restAfter is how long nothing must have come in for memory to be given back.
const restAfter = 5 * time.Second

// rest gives memory back to the node when a start or a burst is over; the
// runtime by itself keeps a tenth more than it last needed, for minutes.
func rest(ctx context.Context, book *ledger.Ledger) {
	tick := time.NewTicker(restAfter)
	defer tick.Stop()
	for seen, rested := int64(0), false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := book.Activity()
		if now != seen {
			seen, rested = now, false
		} else if !rested {
			debug.FreeOSMemory()
			rested = true
		}
	}
}
