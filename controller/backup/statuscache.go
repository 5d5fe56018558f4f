package backup

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	backupapi "github.com/nova/novawire/api/backup"
)

// StatusCache holds the newest status of each StatefulSet that this process has
// reconciled. It is ahead of the annotations in the informer's cache, so that no
// attempt is counted twice, and it is what [Metrics] exports.
type StatusCache struct {
	mu       sync.Mutex
	statuses map[types.NamespacedName]backupapi.Status
}

// NewStatusCache returns an empty cache.
func NewStatusCache() *StatusCache {
	return &StatusCache{statuses: map[types.NamespacedName]backupapi.Status{}}
}

// Reset empties the cache. Another replica may lead and write statuses.
func (c *StatusCache) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.statuses)
}

func (c *StatusCache) set(name types.NamespacedName, s backupapi.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[name] = s
}

func (c *StatusCache) get(name types.NamespacedName) (backupapi.Status, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.statuses[name]
	return s, ok
}

func (c *StatusCache) forget(name types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.statuses, name)
}

// each calls a function with every status, under the cache's lock.
func (c *StatusCache) each(visit func(types.NamespacedName, backupapi.Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, s := range c.statuses {
		visit(name, s)
	}
}
