package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	backupcontroller "github.com/nova/novawire/controller/backup"
)

// lease is the name of the Lease that the leader holds, in our own namespace.
const lease = "novawire-controllers"

// controllers run on the replica that leads, in a manager of their own: one that
// loses its lease ends, and admission, which every replica does, is not to end
// with it.
type controllers struct {
	cluster      *rest.Config
	namespace    string
	options      backupcontroller.Options
	restartDelay time.Duration // before a manager that ended is started anew
}

func addControllers(mgr manager.Manager, cluster *rest.Config, flags webhookFlags, current *reloader) error {
	if !flags.controllers {
		return nil
	}
	return mgr.Add(&controllers{
		cluster: cluster, namespace: flags.certs.namespace, restartDelay: 5 * time.Second,
		options: backupcontroller.Options{Config: current.Backup, Metrics: backupcontroller.NewMetrics(metrics.Registry), Changed: current.changed},
	})
}

// NeedLeaderElection is false: the leader is elected within.
func (c *controllers) NeedLeaderElection() bool { return false }

// Start runs until the context ends.
func (c *controllers) Start(ctx context.Context) error {
	for {
		err := c.lead(ctx)
		c.options.Metrics.Reset() // whoever leads now has them
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to end
		}
		slog.Error("controllers ended, and start again", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.restartDelay):
		}
	}
}

// lead waits for the lease, and works as long as it is held.
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
		return fmt.Errorf("prepare controllers: %w", err)
	}
	if err := backupcontroller.Add(mgr, c.options); err != nil {
		return fmt.Errorf("prepare controllers: %w", err)
	}
	return mgr.Start(ctx)
}
