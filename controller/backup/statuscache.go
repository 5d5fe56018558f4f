package backup

import (
	"sync"

	backupapi "github.com/nova/novawire/api/backup"
)

// StatusCache holds the newest status of each source that this process has
// reconciled. It is ahead of the annotations in the informer's cache, so that no
// attempt is counted twice, and it is what [Metrics] exports.
type StatusCache struct {
	mu       sync.Mutex
	statuses map[backupapi.Source]backupapi.Status
}

// NewStatusCache returns an empty cache.
func NewStatusCache() *StatusCache {
	return &StatusCache{statuses: map[backupapi.Source]backupapi.Status{}}
}

// Reset empties the cache. Another replica may lead and write statuses.
func (c *StatusCache) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.statuses)
}

func (c *StatusCache) set(source backupapi.Source, s backupapi.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[source] = s
}

func (c *StatusCache) get(source backupapi.Source) (backupapi.Status, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.statuses[source]
	return s, ok
}

func (c *StatusCache) forget(source backupapi.Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.statuses, source)
}

// each calls a function with every status, under the cache's lock.
func (c *StatusCache) each(visit func(backupapi.Source, backupapi.Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for source, s := range c.statuses {
		visit(source, s)
	}
}
