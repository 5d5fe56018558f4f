package exporter

import (
	"context"
	"sync"
	"time"
)

// drain is the end that the exporters of all signals share: it begins for all of them
// at once, and is over for all at once.
type drain struct {
	once  sync.Once
	begun chan struct{}
	life  context.Context // of the exporters, from Start to the end of Shutdown
	over  context.CancelFunc
}

func newDrain() *drain {
	d := &drain{begun: make(chan struct{})}
	d.life, d.over = context.WithCancel(context.Background())
	return d
}

func (d *drain) begin(timeout time.Duration) {
	d.once.Do(func() {
		close(d.begun)
		time.AfterFunc(timeout, d.over)
	})
}

func (d *drain) hasBegun() bool {
	select {
	case <-d.begun:
		return true
	default:
		return false
	}
}
