package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/audit"
	backupcontroller "github.com/nova/novawire/controller/backup"
	"github.com/nova/novawire/controller/drift"
	"github.com/nova/novawire/controller/ledger"
	"github.com/nova/novawire/controller/probe"
	"github.com/nova/novawire/controller/repair"
	"github.com/nova/novawire/controller/servicemonitor"
	"github.com/nova/novawire/internal/kubernetes"
)

// lease is the name of the Lease that the leader holds, in the namespace of the
// installation.
const lease = "novawire-controllers"

// auditInterval is the time between two audits of the cluster's databases.
const auditInterval = 5 * time.Minute

// controllers runs the controllers in a manager of their own on the replica that
// leads. A manager that loses its lease stops, and admission, which every replica
// serves, must not stop with it.
type controllers struct {
	cluster      *rest.Config
	namespace    string
	options      backupcontroller.Options
	audit        *audit.Metrics
	defaults     func() backupapi.Request
	drift        drift.Options
	ledger       ledger.Options
	probe        *probe.Options // nil: no synthetic pods
	probed       *probe.Metrics
	admitted     atomic.Bool             // the last synthetic pod was wired
	repair       *repair.Options         // nil: no pod is replaced
	monitors     *servicemonitor.Options // nil: no ServiceMonitors are created
	restartDelay time.Duration           // before a stopped manager is started again
}

func addControllers(mgr manager.Manager, cluster *rest.Config, flags managerFlags, current *reloader) error {
	if !flags.controllers {
		return nil
	}
	statuses := backupcontroller.NewStatusCache()
	backupcontroller.RegisterMetrics(metrics.Registry, statuses)
	var monitors *servicemonitor.Options
	if flags.serviceMonitors {
		monitors = &servicemonitor.Options{Labels: flags.serviceMonitorLabels}
	}
	probed := probe.NewMetrics(metrics.Registry)
	pods, err := drift.NewCache(cluster, cache.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return err
	}
	accounts := ledger.NewMetrics(metrics.Registry)
	observer := ledger.NewObserver(pods, accounts)
	if err := mgr.Add(observer); err != nil {
		return fmt.Errorf("add the ledger: %w", err)
	}
	probing, err := probeOptions(flags, probed)
	if err != nil {
		return err
	}
	c := &controllers{
		probe: probing, probed: probed,
		cluster: cluster, namespace: flags.certs.namespace, restartDelay: 5 * time.Second, monitors: monitors,
		options: backupcontroller.Options{Config: current.Backup, Statuses: statuses, Changed: current.changed[0]},
		audit:   audit.NewMetrics(metrics.Registry), defaults: current.BackupDefaults,
		drift: drift.Options{
			Engine:  func() drift.Engine { return driftEngine{current.Engine()} },
			Metrics: drift.NewMetrics(metrics.Registry), Changed: current.changed[1], Cache: pods,
		},
		ledger: ledger.Options{
			Namespace: flags.certs.namespace, Observer: observer, Metrics: accounts,
			Interval: ledger.Interval, StoreInterval: ledger.StoreInterval, AskInterval: ledger.AskInterval,
		},
	}
	if c.probe != nil {
		c.probe.Result = c.admitted.Store
	}
	if flags.repair {
		c.repair = &repair.Options{
			Config: current.Repair, Engine: c.drift.Engine, AdmissionWorks: c.admitted.Load, Metrics: repair.NewMetrics(metrics.Registry),
		}
	}
	return mgr.Add(c)
}

// NeedLeaderElection returns false: the inner manager elects the leader.
func (c *controllers) NeedLeaderElection() bool { return false }

// Start runs until the context ends.
func (c *controllers) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := c.lead(ctx)
		c.options.Statuses.Reset() // another replica may write them from now on
		c.audit.Reset()
		c.drift.Metrics.Reset()
		c.ledger.Metrics.Reset()
		c.probed.Reset()
		c.admitted.Store(false)
		if c.repair != nil {
			c.repair.Metrics.Reset()
		}
		if ctx.Err() == nil {
			slog.Error("the controllers stopped; restarting", "error", err, "delay", c.restartDelay.String())
		}
	}, c.restartDelay)
	return nil
}

// lead waits for the lease and runs the controllers while this replica holds it.
func (c *controllers) lead(ctx context.Context) error {
	mgr, err := manager.New(c.cluster, manager.Options{
		Cache:                         backupcontroller.CacheOptions(),
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:        "0",
		LeaderElection:                true,
		LeaderElectionID:              lease,
		LeaderElectionNamespace:       c.namespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return fmt.Errorf("create the manager of the controllers: %w", err)
	}
	options := c.options
	if options.Secrets, err = mayWatchSecrets(ctx, mgr.GetClient()); err != nil {
		return err
	}
	if err := mgr.Add(secretRights{mgr.GetClient(), options.Secrets, rightsInterval}); err != nil {
		return fmt.Errorf("add the check of rights: %w", err)
	}
	if err := backupcontroller.Add(mgr, options); err != nil {
		return fmt.Errorf("add the backup controller: %w", err)
	}
	if err := c.addDrift(mgr); err != nil {
		return err
	}
	if err := ledger.Add(mgr, c.ledger); err != nil {
		return err
	}
	if c.probe != nil {
		if err := probe.Add(mgr, *c.probe); err != nil {
			return fmt.Errorf("add the admission probe: %w", err)
		}
	}
	reader, err := kubernetes.New(c.cluster)
	if err != nil {
		return fmt.Errorf("add the audit: %w", err)
	}
	auditor := &audit.Auditor{Cluster: reader, Defaults: c.defaults, Metrics: c.audit, Interval: auditInterval, Now: time.Now}
	if err := mgr.Add(auditor); err != nil {
		return fmt.Errorf("add the audit: %w", err)
	}
	if err := c.addServiceMonitors(mgr); err != nil {
		return fmt.Errorf("add the ServiceMonitor controller: %w", err)
	}
	return mgr.Start(ctx)
}

// addDrift adds the comparison of pods and, if it is wanted, what replaces them.
func (c *controllers) addDrift(mgr manager.Manager) error {
	options := c.drift
	if c.repair != nil {
		repairer, err := repair.Add(mgr, *c.repair)
		if err != nil {
			return fmt.Errorf("add the repair controller: %w", err)
		}
		options.Found = repairer.Found
	}
	if err := drift.Add(mgr, options); err != nil {
		return fmt.Errorf("add the drift controller: %w", err)
	}
	return nil
}

// addServiceMonitors adds the controller of ServiceMonitors, if it is wanted and the cluster
// has them.
func (c *controllers) addServiceMonitors(mgr manager.Manager) error {
	if c.monitors == nil {
		return nil
	}
	installed, err := servicemonitor.Installed(mgr.GetRESTMapper())
	if err != nil {
		return err
	}
	if !installed {
		slog.Warn("the cluster has no ServiceMonitors (monitoring.coreos.com/v1); none are created until the next leader starts")
		return nil
	}
	return servicemonitor.Add(mgr, *c.monitors)
}
