package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/cmd/novawire/dashboard"
	"github.com/nova/novawire/internal/commandline"
)

// defaultDashboardPort is free on most machines: no registered service has it.
const defaultDashboardPort = 8468

type dashboardFlags struct {
	cluster           clusterFlags
	namespace, system string
	config            string
	port              int
	interval          time.Duration
}

func dashboardCommand() *cobra.Command {
	var flags dashboardFlags
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Show the cluster as a web page on this machine",
		Long: `Serves a page that shows what status, explain, backup status and telemetry print: namespaces,
their workloads and pods with state and reason, the backups of each database as a calendar
with the days on which a restore was proven, and what of each service's telemetry arrived. It
prints the URL and runs until Ctrl-C.

The page is on 127.0.0.1 only and needs no login: it reads with the rights of your kubeconfig,
changes nothing and never reads Secrets. Everybody who can connect to this machine's loopback
interface can read it. The cluster is asked only while a browser shows the page. The rights
are those of these commands; with the right to list in one namespace only, use --namespace.

Exit codes: 0 ended by Ctrl-C, 1 there is no kubeconfig or the port is taken, 2 a wrong command
line. If the cluster does not answer, the page says so.`,
		Example: `  novawire dashboard
  novawire dashboard -n nova --port 9000`,
		Args: commandline.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case flags.port < 0 || flags.port > 65535:
				return commandline.UsageError("dashboard: --port %d: use 1 to 65535, or 0 for any that is free", flags.port)
			case flags.interval < time.Second:
				return commandline.UsageError("dashboard: --interval %s: use 1s or more", flags.interval)
			}
			return flags.run(cmd)
		},
	}
	f := cmd.Flags()
	flags.cluster.register(f)
	f.StringVarP(&flags.namespace, "namespace", "n", "", "only this namespace; default: all")
	f.StringVar(&flags.system, "system-namespace", defaultNamespace, "namespace of the manager")
	f.StringVar(&flags.config, "config", "", "the manager's configuration file; default: the cluster's")
	f.IntVar(&flags.port, "port", defaultDashboardPort, "port on 127.0.0.1; 0 takes any that is free")
	f.DurationVar(&flags.interval, "interval", 5*time.Second, "how often the page asks the cluster")
	flags.cluster.completeNamespaces(cmd)
	return cmd
}

func (f dashboardFlags) run(cmd *cobra.Command) error {
	cluster, _, err := f.cluster.open(f.namespace)
	if err != nil {
		return err
	}
	source, err := newDashboardSource(f, cluster, cmd.Root().DisplayName())
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(cmd.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("dashboard: port %d is taken; --port names another one, 0 takes any that is free", f.port)
	}
	if err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	writeURL(cmd.OutOrStdout(), listener, source.where())
	return dashboard.Serve(cmd.Context(), listener, source)
}

func writeURL(w io.Writer, listener net.Listener, where string) {
	fmt.Fprintf(w, "http://%s shows %s; Ctrl-C ends it\n", listener.Addr(), where)
}
