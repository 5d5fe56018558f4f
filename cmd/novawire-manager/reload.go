package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/event"

	backupapi "github.com/nova/novawire/api/backup"
	repairapi "github.com/nova/novawire/api/repair"
	"github.com/nova/novawire/config"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/webhook/inject"
)

// reloader holds the engine of the newest valid configuration. It compares the
// file's content on a timer: the files of a ConfigMap are symbolic links that the
// kubelet replaces about once a minute, which file notifications handle badly.
type reloader struct {
	file     string
	interval time.Duration
	repairs  bool   // the leader can replace pods
	lastRead []byte // the content that was read last, valid or not
	engine   atomic.Pointer[inject.Engine]
	backup   atomic.Pointer[resources.Config]
	repair   atomic.Pointer[repairapi.Config]
	// changed has one channel for each controller, with room for one event: the
	// controller reconciles everything again, however many changes there were.
	changed [2]chan event.GenericEvent

	generation prometheus.Gauge
	failures   prometheus.Counter
}

// newReloader reads the configuration. A bad one is an error.
func newReloader(file string, interval time.Duration, registry prometheus.Registerer, repairs bool) (*reloader, error) {
	if interval <= 0 {
		return nil, commandline.UsageError("--config-interval %s: use a duration above 0", interval)
	}
	r := &reloader{
		file:     file,
		interval: interval,
		repairs:  repairs,
		changed:  [...]chan event.GenericEvent{make(chan event.GenericEvent, 1), make(chan event.GenericEvent, 1)},
		generation: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "novawire_config_generation",
			Help: "Configurations that were applied since the start.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "novawire_config_reload_failures_total",
			Help: "Changed configuration files that were rejected because of a mistake.",
		}),
	}
	registry.MustRegister(r.generation, r.failures)
	if file == "" {
		return r, r.apply(config.Default(os.Getenv(config.EnvImage)))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return r, r.load(text)
}

// Engine returns the engine of the current configuration.
func (r *reloader) Engine() *inject.Engine { return r.engine.Load() }

// Backup returns the backup section of the current configuration.
func (r *reloader) Backup() resources.Config { return *r.backup.Load() }

// Repair returns the repair section of the current configuration.
func (r *reloader) Repair() repairapi.Config { return *r.repair.Load() }

// BackupDefaults returns the backup request of a StatefulSet that only sets enabled.
func (r *reloader) BackupDefaults() backupapi.Request { return r.Backup().DefaultRequest() }

// load applies the content of the file.
func (r *reloader) load(text []byte) error {
	r.lastRead = text
	c := config.Default(os.Getenv(config.EnvImage))
	if err := c.Parse(text); err != nil {
		return fmt.Errorf("read config %s: %w", r.file, err)
	}
	if c.Unversioned() {
		slog.Warn(config.VersionWarning, "file", r.file)
	}
	return r.apply(c)
}

func (r *reloader) apply(c config.Manager) error {
	engine, err := inject.New(c.Injection)
	if err != nil {
		return err
	}
	if !c.Injection.Sidecar.Configured() {
		slog.Warn("the sidecar has no backend: it accepts telemetry and counts it as dropped", "key", "injection.sidecar.env")
	}
	if !r.repairs && c.Repair.Asked() {
		slog.Warn("nothing is repaired: the component repair is not installed", "key", "repair")
	}
	r.engine.Store(engine)
	r.backup.Store(&c.Backup)
	r.repair.Store(&c.Repair)
	r.generation.Inc()
	for _, changed := range r.changed {
		select {
		case changed <- event.GenericEvent{Object: &appsv1.StatefulSet{}}:
		default:
		}
	}
	return nil
}

// Start checks the file until the context ends.
func (r *reloader) Start(ctx context.Context) error {
	if r.file == "" {
		<-ctx.Done()
		return nil
	}
	wait.UntilWithContext(ctx, func(context.Context) { r.checkFile() }, r.interval)
	return nil
}

// checkFile loads the file if its content has changed. It reads the file once, so
// that what was compared is what is loaded.
func (r *reloader) checkFile() {
	text, err := os.ReadFile(r.file)
	if err != nil || bytes.Equal(text, r.lastRead) {
		return // unchanged, or absent for a moment while the kubelet replaces it
	}
	if err := r.load(text); err != nil {
		r.failures.Inc()
		slog.Error("configuration file rejected; the previous configuration stays in force", "error", err)
		return
	}
	slog.Info("configuration reloaded", "file", r.file, "hash", r.Engine().Hash())
}

// NeedLeaderElection returns false: every replica answers reviews.
func (r *reloader) NeedLeaderElection() bool { return false }
