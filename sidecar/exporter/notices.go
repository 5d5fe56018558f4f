package exporter

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// noticeInterval is how often a kind of event is logged at most.
const noticeInterval = time.Minute

// notices logs the first event of each kind at once, and then at most one a minute
// with the number of those in between. Events are counted in the ledger in any case.
type notices struct {
	logger *zap.Logger

	mu    sync.Mutex
	kinds map[string]*notice
}

type notice struct {
	logged     time.Time
	suppressed int
}

func newNotices(logger *zap.Logger) *notices {
	return &notices{logger: logger, kinds: map[string]*notice{}}
}

func (n *notices) warn(kind, message string, fields ...zap.Field) {
	n.mu.Lock()
	seen, ok := n.kinds[kind]
	if !ok {
		seen = &notice{}
		n.kinds[kind] = seen
	}
	if ok && time.Since(seen.logged) < noticeInterval {
		seen.suppressed++
		n.mu.Unlock()
		return
	}
	suppressed := seen.suppressed
	seen.logged, seen.suppressed = time.Now(), 0
	n.mu.Unlock()
	if suppressed > 0 {
		fields = append(fields, zap.Int("suppressed", suppressed))
	}
	n.logger.Warn(message, fields...)
}
