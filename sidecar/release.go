package sidecar

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/nova/novawire/sidecar/ledger"
)

// idleInterval is how long nothing must have been received or sent before memory is
// released.
const idleInterval = 5 * time.Second

// releaseMemory returns memory to the node when a start or a burst is over. The runtime
// by itself keeps a tenth more than it last needed, for minutes.
func releaseMemory(ctx context.Context, stats *ledger.Ledger) {
	tick := time.NewTicker(idleInterval)
	defer tick.Stop()
	for last, released := int64(0), false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := stats.Activity()
		if now != last {
			last, released = now, false
		} else if !released {
			debug.FreeOSMemory()
			released = true
		}
	}
}
