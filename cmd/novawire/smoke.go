package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/smoke"
)

type smokeFlags struct {
	cluster                clusterFlags
	namespace, output      string
	counters, skip         []string
	request, tracesURL     string
	wait, backupAge, limit time.Duration
}

func smokeCommand() *cobra.Command {
	var flags smokeFlags
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Check every wired service of a namespace from outside",
		Long: `Checks each wired service and each database after a deployment:

  metrics  /metrics parses and has the P0 counters
  health   /health answers with 2xx
  ready    /ready answers with 2xx
  trace    a request with a trace id arrives in the trace backend, as a span of the service
  logs     a log line has that trace id, and the pod has the label logging=structured
  backup   the last backup of each database is recent

Endpoints come from the pod: the prometheus.io annotations and the HTTP probes. Requests
go through the API server, so that no port forward is needed; the user needs get on
pods/proxy and pods/log. The newest running pod of each service is checked.

Exit codes: 0 every check passed, 1 a check failed or nothing was checked, 2 wrong usage.`,
		Example: `  novawire smoke -n nova --wait 2m --traces-url http://jaeger.example.org:16686
  novawire smoke -n nova -o junit > smoke.xml`,
		Args: commandline.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSmoke(cmd.Context(), flags, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	flags.cluster.register(f)
	f.StringVarP(&flags.namespace, "namespace", "n", "", "namespace; default: that of the kubeconfig's context")
	f.StringVarP(&flags.output, "output", "o", "table", "table, json or junit")
	f.StringSliceVar(&flags.counters, "counters", smoke.Counters, "counters that the metrics of each service must have")
	f.StringSliceVar(&flags.skip, "skip", nil, "checks to leave out: "+strings.Join(smoke.Kinds(), ", "))
	f.StringVar(&flags.request, "request", "/", "path of the request with a trace id")
	f.StringVar(&flags.tracesURL, "traces-url", "", "URL of a Jaeger or Tempo query service; without it traces are not checked")
	f.DurationVar(&flags.wait, "wait", 0, "how long a failing check is repeated")
	f.DurationVar(&flags.limit, "timeout", 10*time.Second, "timeout of each request")
	f.DurationVar(&flags.backupAge, "backup-age", 26*time.Hour, "how old the last backup may be")
	flags.cluster.completeNamespaces(cmd)
	suggestValues(cmd, "output", "table", "json", "junit")
	suggestValues(cmd, "skip", smoke.Kinds()...)
	return cmd
}

func (f smokeFlags) check() error {
	if !slices.Contains([]string{"table", "json", "junit"}, f.output) {
		return commandline.UsageError("smoke: output %q: use table, json or junit", f.output)
	}
	for _, kind := range f.skip {
		if !slices.Contains(smoke.Kinds(), kind) {
			return commandline.UsageError("smoke: skip %q: use %s", kind, strings.Join(smoke.Kinds(), ", "))
		}
	}
	if f.wait < 0 || f.limit <= 0 || f.backupAge <= 0 {
		return commandline.UsageError("smoke: --wait, --timeout and --backup-age are positive durations")
	}
	if !strings.HasPrefix(f.request, "/") {
		return commandline.UsageError("smoke: request %q: use a path that begins with /", f.request)
	}
	return nil
}

func runSmoke(ctx context.Context, flags smokeFlags, stdout io.Writer) error {
	if err := flags.check(); err != nil {
		return err
	}
	config, err := flags.cluster.connect()
	if err != nil {
		return err
	}
	cluster, namespace, err := flags.cluster.open(flags.namespace)
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	client.Timeout = flags.limit
	options := smoke.Options{
		Client: client, Counters: flags.counters, BackupAge: flags.backupAge, Now: time.Now,
		Wait: flags.wait, Interval: time.Second, Skip: flags.skip,
	}
	if flags.tracesURL != "" {
		options.Traces = smoke.Jaeger{URL: flags.tracesURL, Client: &http.Client{Timeout: flags.limit}}
	}
	if options.Services, err = smokeServices(ctx, cluster, namespace, flags.request); err != nil {
		return err
	}
	if options.Backups, err = smokeBackups(ctx, cluster, namespace, flags.skip); err != nil {
		return err
	}
	results := smoke.Run(ctx, options)
	write := map[string]func(io.Writer, []smoke.Result) error{"table": smoke.WriteTable, "json": smoke.WriteJSON, "junit": smoke.WriteJUnit}[flags.output]
	if err := write(stdout, results); err != nil {
		return err
	}
	if len(results) == 0 {
		return fmt.Errorf("namespace %s has no wired service and no backup", namespace)
	}
	if !smoke.OK(results) {
		return errors.New("smoke: the deployment did not pass")
	}
	return nil
}

// smokeServices returns the services of the wired pods, each with its newest running
// pod. A service without one has a problem.
func smokeServices(ctx context.Context, cluster *kubernetes.Client, namespace, request string) ([]smoke.Service, error) {
	pods, err := kubernetes.Pods.List(ctx, cluster, namespace, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	newest := map[string]corev1.Pod{}
	for _, p := range pods {
		if p.Annotations[injection.AnnotationStatus] == "" || finished(p) {
			continue
		}
		name := serviceName(p)
		old, found := newest[name]
		if !found || compareReady(p, old) > 0 {
			newest[name] = p
		}
	}
	var services []smoke.Service
	for name, p := range newest {
		services = append(services, smokeService(cluster, name, p, request))
	}
	slices.SortFunc(services, func(a, b smoke.Service) int { return strings.Compare(a.Name, b.Name) })
	return services, nil
}

// metricsEndpoint returns where Prometheus scrapes a pod, or no port.
func metricsEndpoint(annotations map[string]string) (scheme, port, path string) {
	if own, err := url.Parse(annotations[injection.AnnotationMetricsEndpoint]); err == nil && own.Port() != "" {
		return own.Scheme, own.Port(), own.Path
	}
	if annotations[injection.AnnotationPrometheusScrape] != injection.MetricsScraped {
		return "", "", ""
	}
	return cmp.Or(annotations[injection.AnnotationPrometheusScheme], "http"), annotations[injection.AnnotationPrometheusPort],
		cmp.Or(annotations[injection.AnnotationPrometheusPath], "/metrics")
}

func smokeService(cluster *kubernetes.Client, name string, p corev1.Pod, request string) smoke.Service {
	s := smoke.Service{Namespace: p.Namespace, Name: name, LogLabel: p.Labels[injection.LabelLogging]}
	if p.Status.Phase != corev1.PodRunning {
		s.Problem = fmt.Sprintf("no pod runs: %s is %s", p.Name, cmp.Or(string(p.Status.Phase), "new"))
		return s
	}
	proxied := func(scheme, port, path string) string {
		return cluster.ProxyURL(p.Namespace, p.Name, scheme, port, path)
	}
	if scheme, port, path := metricsEndpoint(p.Annotations); port != "" {
		s.MetricsURL = proxied(scheme, port, path)
		s.HealthURL = proxied(scheme, port, "/health")
		s.ReadyURL = proxied(scheme, port, "/ready")
		s.RequestURL = proxied(scheme, port, request)
	}
	for _, c := range p.Spec.Containers {
		if url := probeURL(c, c.LivenessProbe, proxied); url != "" {
			s.HealthURL = url
		}
		if url := probeURL(c, c.ReadinessProbe, proxied); url != "" {
			s.ReadyURL = url
		}
		if c.LivenessProbe != nil || c.ReadinessProbe != nil || len(p.Spec.Containers) == 1 {
			s.Logs = podLogs(cluster, p, c.Name)
			break
		}
	}
	return s
}

// probeURL returns the URL of an HTTP probe, or "".
func probeURL(c corev1.Container, probe *corev1.Probe, proxied func(scheme, port, path string) string) string {
	if probe == nil || probe.HTTPGet == nil {
		return ""
	}
	port := probe.HTTPGet.Port.String()
	if probe.HTTPGet.Port.Type == intstr.String {
		for _, p := range c.Ports {
			if p.Name == port {
				port = fmt.Sprint(p.ContainerPort)
			}
		}
	}
	return proxied(strings.ToLower(cmp.Or(string(probe.HTTPGet.Scheme), "http")), port, probe.HTTPGet.Path)
}

func podLogs(cluster *kubernetes.Client, p corev1.Pod, container string) func(context.Context, time.Time) (io.ReadCloser, error) {
	return func(ctx context.Context, since time.Time) (io.ReadCloser, error) {
		return cluster.Log(ctx, p.Namespace, p.Name, container, kubernetes.LogOptions{Since: since})
	}
}

// serviceName returns the name that the pod's telemetry has, else that of its
// workload.
func serviceName(p corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		for _, v := range c.Env {
			if v.Name == "OTEL_SERVICE_NAME" && v.Value != "" {
				return v.Value
			}
		}
	}
	return cmp.Or(p.Labels["app.kubernetes.io/name"], p.Labels["app"], p.Name)
}

func finished(p corev1.Pod) bool {
	return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// compareReady orders pods: running ones after others, then newer ones after older.
func compareReady(a, b corev1.Pod) int {
	running := func(p corev1.Pod) int {
		if p.Status.Phase == corev1.PodRunning {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(running(a), running(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(b.Name, a.Name))
}

// smokeBackups returns the databases that have backups, and the StatefulSets that
// asked for backups and have none.
func smokeBackups(ctx context.Context, cluster *kubernetes.Client, namespace string, skip []string) ([]smoke.Backup, error) {
	if slices.Contains(skip, smoke.KindBackup) {
		return nil, nil
	}
	states, err := listStatuses(ctx, cluster, namespace)
	if err != nil {
		return nil, err
	}
	var backups []smoke.Backup
	for _, s := range states {
		b := smoke.Backup{Namespace: s.Namespace, StatefulSet: s.StatefulSet, Suspended: s.Suspended, Refused: s.Refused}
		if len(s.Databases) == 0 {
			backups = append(backups, b)
		}
		for _, d := range s.Databases {
			b.Database, b.LastSuccess = d.Name, d.LastSuccess
			backups = append(backups, b)
		}
	}
	return backups, nil
}
