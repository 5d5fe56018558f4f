package audit

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/kubernetes"
)

// Auditor audits the cluster periodically and exports the report as metrics. The
// manager runs it on the replica that leads.
type Auditor struct {
	Cluster  *kubernetes.Client // reads past the cache, in pages
	Defaults func() backupapi.Request
	Metrics  *Metrics
	Interval time.Duration
	Now      func() time.Time
}

// Start audits until the context ends.
func (a *Auditor) Start(ctx context.Context) error {
	wait.JitterUntilWithContext(ctx, a.audit, a.Interval, 0.1, true)
	return nil
}

// NeedLeaderElection returns true: one audit for the cluster is enough.
func (a *Auditor) NeedLeaderElection() bool { return true }

func (a *Auditor) audit(ctx context.Context) {
	report, err := Run(ctx, a.Cluster, Options{Defaults: a.Defaults()})
	if err != nil {
		if ctx.Err() == nil {
			slog.Error("audit of PostgreSQL databases failed; the metrics keep the previous report", "error", err)
		}
		return
	}
	a.Metrics.Set(report, a.Now())
}
