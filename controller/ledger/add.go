// Package ledger is the controller that adds up the ledgers of all sidecars by service, and
// keeps the sums: see docs/adr/0612. It changes no pod.
package ledger

import (
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Options configures the controller.
type Options struct {
	// Namespace is that of the ConfigMaps.
	Namespace string
	Observer  *Observer
	Metrics   *Metrics
	// Interval is the time between two looks at what was observed; the ends of pods are
	// stored as often. StoreInterval is that between two writes of what running pods count.
	Interval, StoreInterval time.Duration
	// AskInterval is the time between two requests to the same running sidecar.
	AskInterval time.Duration
}

// Defaults of the intervals.
const (
	Interval      = 5 * time.Second
	StoreInterval = time.Minute
	AskInterval   = time.Minute
)

// Add registers the controller. It must run on one replica at a time.
func Add(mgr manager.Manager, o Options) error {
	if o.Namespace == "" || o.Observer == nil {
		return errors.New("add the ledger: the namespace and the observer must be set")
	}
	return mgr.Add(&keeper{Options: o, reader: mgr.GetAPIReader(), writer: mgr.GetClient()})
}
