package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/webhook/inject"
)

// reloader keeps the engine of the newest good configuration. It looks at the
// file's content on a timer: a ConfigMap's files are symbolic links that the
// kubelet swaps about once a minute, which file notifications follow badly.
type reloader struct {
	file     string
	interval time.Duration
	lastRead []byte // the content that was read last, good or not
	engine   atomic.Pointer[inject.Engine]
	backup   atomic.Pointer[resources.Config]
	// changed holds at most one notice: that the controller is to look at
	// everything once more is the same, however often it is said.
	changed chan event.GenericEvent

	generation prometheus.Gauge
	failures   prometheus.Counter
}

// newReloader reads the configuration; to start with a bad one is an error.
func newReloader(file string, registry prometheus.Registerer) (*reloader, error) {
	r := &reloader{
		file:     file,
		interval: 5 * time.Second,
		changed:  make(chan event.GenericEvent, 1),
		generation: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "novawire_config_generation",
			Help: "How many configurations have been in force since the start.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "novawire_config_reload_failures_total",
			Help: "Changed configuration files that were not taken because of a mistake.",
		}),
	}
	registry.MustRegister(r.generation, r.failures)
	if file != "" {
		r.lastRead, _ = os.ReadFile(file) // load tells what is wrong with it
	}
	return r, r.apply()
}

// Engine is the engine of the configuration in force.
func (r *reloader) Engine() *inject.Engine { return r.engine.Load() }

// Backup is what the configuration in force says about backup.
func (r *reloader) Backup() resources.Config { return *r.backup.Load() }

// BackupDefaults are what a StatefulSet asks of backup that only says enabled.
func (r *reloader) BackupDefaults() backupapi.Request { return r.Backup().DefaultRequest() }

func (r *reloader) apply() error {
	c, err := readConfig(r.file)
	if err != nil {
		return err
	}
	engine, err := inject.New(c.Injection)
	if err != nil {
		return err
	}
	if !c.Injection.Sidecar.Configured() {
		slog.Warn("the sidecar has no backend: telemetry is accepted and counted as dropped", "key", "injection.sidecar.env")
	}
	r.engine.Store(engine)
	r.backup.Store(&c.Backup)
	r.generation.Inc()
	select {
	case r.changed <- event.GenericEvent{Object: &appsv1.StatefulSet{}}:
	default:
	}
	return nil
}

// Start looks at the file until the context ends.
func (r *reloader) Start(ctx context.Context) error {
	if r.file == "" {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(r.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			r.checkFile()
		}
	}
}

// checkFile takes a changed file, or tells once what is wrong with it.
func (r *reloader) checkFile() {
	text, err := os.ReadFile(r.file)
	if err != nil || bytes.Equal(text, r.lastRead) {
		return // gone for a moment, while it is swapped; or nothing new
	}
	r.lastRead = text
	if err := r.apply(); err != nil {
		r.failures.Inc()
		slog.Error("configuration kept: the changed file has a mistake", "error", err)
		return
	}
	slog.Info("configuration reloaded", "file", r.file, "hash", r.Engine().Hash())
}

// NeedLeaderElection is false: every replica answers reviews.
func (r *reloader) NeedLeaderElection() bool { return false }
