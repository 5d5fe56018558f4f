package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	clientconfig "sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/nova/novawire/certs/expiry"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/version"
	"github.com/nova/novawire/webhook"
)

type managerFlags struct {
	config         string
	certs          certFlags
	host           string
	port           int
	metricsAddress string
	healthAddress  string
	reloadEvery    time.Duration
	controllers    bool
	logLevel       string

	probeNamespace string
	repair         bool
	restore        bool

	serviceMonitors      bool
	serviceMonitorLabels map[string]string
}

// formerArgument is what manifests of v0.1 pass: the manager was a subcommand then.
const formerArgument = "webhook"

func managerCommand() *cobra.Command {
	var flags managerFlags
	cmd := &cobra.Command{
		Use:   "novawire-manager",
		Short: "Run the admission webhooks and the controllers of Novawire, in a cluster",
		Long: `Serves the API server's admission reviews: POST /mutate-pod wires pods,
POST /warn-workload warns about workloads at apply, POST /validate-backup refuses
mistakes in backup.nova.dev annotations. If anything else fails, the object is admitted
unchanged and the failure is counted.

One replica, the leader, creates the CronJobs that backup.nova.dev annotations request and
records the results of their Jobs. It compares the pods of namespaces that opted in with what
admission would do with them now, and reports what differs. With --service-monitors it also creates ServiceMonitors.

The configuration file is read again when it changes. If the new file has a mistake, the
mistake is logged and the previous configuration stays in force. After SIGTERM the program
asks API servers for two seconds to use other connections, answers the requests in flight
and ends.

Exit codes: 0 ended by a signal, 1 it could not start or run, 2 a wrong command line.`,
		Version: version.String(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != formerArgument {
				return commandline.UsageError("novawire-manager: it takes no argument, got %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runManager(cmd.Context(), flags, len(args) > 0, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.config, "config", "", "configuration file (YAML); the defaults apply if it is empty")
	f.DurationVar(&flags.reloadEvery, "config-interval", 5*time.Second, "how often the configuration file is checked for changes")
	flags.certs.register(f)
	f.StringVar(&flags.host, "host", "", "address to serve on; empty for all addresses")
	f.IntVar(&flags.port, "port", 10250, "port of the webhook")
	f.StringVar(&flags.metricsAddress, "metrics-address", ":8080", "address of /metrics; 0 disables it")
	f.StringVar(&flags.healthAddress, "health-address", ":8081", "address of /healthz and /readyz; 0 disables it")
	f.StringVar(&flags.logLevel, "log-level", "info", "lowest level that is logged: debug, info, warn or error; debug includes skipped pods")
	f.BoolVar(&flags.controllers, "controllers", true, "run the controllers on the replica that leads")
	f.StringVar(&flags.probeNamespace, "admission-probe-namespace", "", "opted-in namespace in which the leader creates a pod as a dry run each minute, to see that it is wired; empty for no probe")
	f.BoolVar(&flags.restore, "restore-webhooks", false, "let the leader put back webhook configurations that somebody deleted, after 10 seconds; needs the probe")
	f.BoolVar(&flags.repair, "repair", false, "let the leader replace pods that are not wired as they would be now, where the section repair of the configuration or an annotation asks for it; needs the probe")
	f.BoolVar(&flags.serviceMonitors, "service-monitors", false, "create a ServiceMonitor for each Service that selects wired pods, if the cluster has the Prometheus Operator")
	f.StringToStringVar(&flags.serviceMonitorLabels, "service-monitor-labels", nil, "labels of these ServiceMonitors, by which Prometheus selects them")
	return cmd
}

func runManager(ctx context.Context, flags managerFlags, formerArguments bool, stderr io.Writer) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(flags.logLevel)); err != nil {
		return commandline.UsageError("--log-level %q: use debug, info, warn or error", flags.logLevel)
	}
	setUpLogging(stderr, level)
	if flags.repair && flags.probeNamespace == "" {
		return commandline.UsageError("--repair needs --admission-probe-namespace: nothing is replaced while the probe fails")
	}
	if flags.restore && flags.probeNamespace == "" {
		return commandline.UsageError("--restore-webhooks needs --admission-probe-namespace: the probe watches the webhook configurations")
	}
	if formerArguments {
		slog.Warn("the argument is not needed any more: remove it from the Deployment", "argument", formerArgument)
	}
	repairs := flags.repair || !flags.controllers // without controllers, another Deployment may repair
	current, badConfig := newReloader(flags.config, flags.reloadEvery, metrics.Registry, repairs)
	if commandline.ExitCode(badConfig) == commandline.ExitUsage {
		return badConfig
	}
	cluster, err := clientconfig.GetConfig()
	if badConfig != nil {
		if err == nil { // at a roll-out, the replicas with the former configuration still run
			deploymentWarnings{cluster, flags.certs.namespace}.record(ctx, "BadConfiguration", "a new replica does not start: "+badConfig.Error())
		}
		return badConfig
	}
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	served, err := flags.certs.prepare(cluster, expiry.New(metrics.Registry))
	if err != nil {
		return err
	}
	mgr, err := newManager(cluster, flags, served)
	if err != nil {
		return err
	}
	var drain drainer
	if err := mgr.Add(current); err != nil {
		return fmt.Errorf("add the configuration reloader: %w", err)
	}
	if err := addControllers(mgr, cluster, flags, current); err != nil {
		return fmt.Errorf("add the controllers: %w", err)
	}
	if err := mgr.Add(served.runnable); err != nil {
		return fmt.Errorf("add the certificates: %w", err)
	}
	if err := addAdmission(ctx, mgr, current, &drain); err != nil {
		return fmt.Errorf("add admission: %w", err)
	}
	if err := addHealth(mgr, served); err != nil {
		return fmt.Errorf("add health checks: %w", err)
	}
	return mgr.Start(drain.delayedContext(ctx))
}

func newManager(cluster *rest.Config, flags managerFlags, served certificate) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	mgr, err := manager.New(cluster, manager.Options{
		Scheme:                 scheme,
		Metrics:                metricsserver.Options{BindAddress: flags.metricsAddress},
		HealthProbeBindAddress: flags.healthAddress,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
		},
		WebhookServer: ctrlwebhook.NewServer(ctrlwebhook.Options{
			Host:    flags.host,
			Port:    flags.port,
			TLSOpts: []func(*tls.Config){served.tls},
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("create the manager: %w", err)
	}
	return mgr, nil
}

// addAdmission registers the webhooks.
func addAdmission(ctx context.Context, mgr manager.Manager, current *reloader, drain *drainer) error {
	counts := webhook.NewMetrics(metrics.Registry)
	limits, err := newLimitsWatch(ctx, mgr)
	if err != nil {
		return err
	}
	namespaces := &webhook.CachedNamespaces{Cache: mgr.GetClient(), Live: mgr.GetAPIReader(), Metrics: counts, Limits: &limits.known}
	events := webhook.EventRecorder{Recorder: mgr.GetEventRecorder("novawire")}
	services := webhook.LiveServices{Live: mgr.GetAPIReader()}
	// Requesting the informer now fills the cache before the first review.
	if _, err := mgr.GetCache().GetInformer(ctx, webhook.NamespaceMetadata()); err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	references := webhook.LiveReferences{Live: mgr.GetAPIReader(), MayWatchSecrets: secretRights{client: mgr.GetClient()}.mayWatch}
	server := mgr.GetWebhookServer()
	server.Register("/mutate-pod", drain.handler(webhook.Pods(current, namespaces, events, counts)))
	server.Register("/warn-workload", drain.handler(webhook.Workloads(current, namespaces, services, counts)))
	server.Register("/validate-backup", drain.handler(webhook.Backups(current.BackupDefaults, references, counts)))
	return nil
}

func addHealth(mgr manager.Manager, served certificate) error {
	return errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("certificate", served.ready),
		mgr.AddReadyzCheck("webhook", mgr.GetWebhookServer().StartedChecker()),
	)
}
