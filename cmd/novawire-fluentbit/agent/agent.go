// Package agent keeps the directory of pod files on a node: it watches the pods of
// the node and the namespaces of the cluster, and links the log files of wired
// pods for Fluent Bit.
package agent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/nova/novawire/fluentbit/podfiles"
)

// UsageError is a mistake in the command line.
type UsageError struct{ Err error }

// Error implements error.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the mistake.
func (e UsageError) Unwrap() error { return e.Err }

// options are the flags of the agent.
type options struct {
	node, api, listen string
	directory         podfiles.Directory
	interval          time.Duration
	excluded          []string
	nameLabels        []string
}

func parseFlags(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is printed once, by the caller
	flags.StringVar(&o.directory.Path, "dir", "/var/lib/novawire-fluent-bit/pods", "directory that Fluent Bit tails")
	flags.StringVar(&o.directory.Logs, "logs", "/var/log/containers", "the kubelet's directory of log files")
	flags.DurationVar(&o.directory.HoldFor, "hold", time.Minute, "how long the files of an unknown pod wait for the API server's answer")
	flags.DurationVar(&o.directory.KeepFor, "keep", 24*time.Hour, "how long the description of a deleted pod is kept")
	flags.DurationVar(&o.interval, "interval", time.Second, "how often the log files are listed")
	flags.StringVar(&o.node, "node", os.Getenv("NODE_NAME"), "name of this node")
	flags.StringVar(&o.api, "api", "", "URL of the API server; the cluster's own unless set")
	flags.StringVar(&o.listen, "listen", "", "address of /metrics and /ready; none unless set")
	excluded := flags.String("exclude-namespaces", "kube-system,novawire-system,novawire-logging", "namespaces whose pods are never tailed")
	labels := flags.String("service-name-labels", "", "pod labels that name a service, as serviceNameLabels of injection")
	flags.Usage = func() {} // a mistake is one line
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, UsageError{err}
	case flags.NArg() > 0:
		return o, UsageError{fmt.Errorf("it takes no argument, got %q", flags.Arg(0))}
	}
	o.excluded, o.nameLabels = commaList(*excluded), commaList(*labels)
	if o.node == "" {
		return o, UsageError{errors.New("the node's name is missing: set --node or NODE_NAME")}
	}
	return o, nil
}

func commaList(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(part string) bool { return part == "" })
}

// Run keeps the directory of pod files until the process receives SIGTERM. It does
// not end because of the API server or of a file: it logs and continues.
func Run(args []string, stderr io.Writer) error {
	o, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewJSONHandler(stderr, nil)).With("program", "novawire-fluentbit agent")
	klog.SetSlogLogger(log) // client-go logs here
	config, err := apiConfig(o.api)
	if err != nil {
		return fmt.Errorf("find the API server: %w", err)
	}
	cluster, err := newCluster(config, o.node, o.excluded, o.nameLabels)
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	if err := o.directory.Open(); err != nil {
		return err
	}
	a := &agent{options: o, cluster: cluster, log: log}
	var running sync.WaitGroup
	running.Go(func() { cluster.watch(ctx) })
	if o.listen != "" {
		running.Go(func() { a.serve(ctx) })
	}
	a.update(ctx)
	running.Wait()
	return nil
}

func apiConfig(url string) (*rest.Config, error) {
	if url != "" {
		return &rest.Config{Host: url}, nil
	}
	return rest.InClusterConfig()
}

type agent struct {
	options options
	cluster *cluster
	log     *slog.Logger

	mu     sync.Mutex
	counts podfiles.Counts
	errors int64
}

// update lists the log files every interval and after each change of a pod.
func (a *agent) update(ctx context.Context) {
	tick := time.NewTicker(a.options.interval)
	defer tick.Stop()
	var last string
	for {
		counts, err := a.options.directory.Update(time.Now(), func(namespace, pod string) (podfiles.Pod, podfiles.Decision) {
			return a.cluster.decide(ctx, namespace, pod)
		})
		a.mu.Lock()
		a.counts = counts
		if err != nil {
			a.errors++
		}
		a.mu.Unlock()
		if text := fmt.Sprint(err); err != nil && text != last {
			a.log.Error("log files not updated; will retry", "error", err)
			last = text
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-a.cluster.changed:
		}
	}
}

// serve answers /metrics and /ready until ctx ends.
func (a *agent) serve(ctx context.Context) {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		a.writeMetrics(w)
	})
	routes.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if !a.cluster.synced() {
			http.Error(w, "the pods of this node are not known yet", http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Addr: a.options.listen, Handler: routes, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		a.log.Error("metrics not served", "address", a.options.listen, "error", err)
	}
}

func (a *agent) writeMetrics(w io.Writer) {
	a.mu.Lock()
	counts, errs := a.counts, a.errors
	a.mu.Unlock()
	fmt.Fprint(w, "# HELP novawire_logs_files Log files of containers on this node, by what the agent does with them.\n# TYPE novawire_logs_files gauge\n")
	for _, state := range []struct {
		name string
		n    int
	}{{"wired", counts.Wired}, {"undecided", counts.Undecided}, {"held", counts.Held}, {"not_wired", counts.NotWired}} {
		fmt.Fprintf(w, "novawire_logs_files{state=%q} %d\n", state.name, state.n)
	}
	fmt.Fprintf(w, "# HELP novawire_logs_file_update_errors_total Updates of the directory that had an error.\n# TYPE novawire_logs_file_update_errors_total counter\nnovawire_logs_file_update_errors_total %d\n", errs)
	fmt.Fprintf(w, "# HELP novawire_logs_api_errors_total Failed requests to the API server.\n# TYPE novawire_logs_api_errors_total counter\nnovawire_logs_api_errors_total %d\n", a.cluster.errors.Load())
	synced := 0
	if a.cluster.synced() {
		synced = 1
	}
	fmt.Fprintf(w, "# HELP novawire_logs_pods_synced Whether the pods of this node have been listed.\n# TYPE novawire_logs_pods_synced gauge\nnovawire_logs_pods_synced %d\n", synced)
}
