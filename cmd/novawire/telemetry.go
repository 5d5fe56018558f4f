package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/telemetry"
	"github.com/nova/novawire/internal/units"
)

type telemetryFlags struct {
	cluster clusterFlags
	system  string
	name    string // the flag's namespace, as an argument names it too
	price   float64
	display display
}

func telemetryCommand() *cobra.Command {
	var flags telemetryFlags
	cmd := &cobra.Command{
		Use:   "telemetry [NAMESPACE]",
		Short: "Show what the services of the cluster sent, and what of it arrived",
		Long: `Shows the account that the manager keeps of the sidecars of all pods, also of those that are
gone: for each service the items that were accepted (spans, data points and log records),
delivered and lost, the bytes, and the service's share in the bytes of the cluster. With a
namespace there is a line for each signal, with the reasons of losses.

Lost are items that were dropped, and those that sidecars held when they were killed. UNKNOWN
is the number of sidecars that ended without a final ledger. The manager stores the account
each minute, and the end of a pod within five seconds.

The caller needs the right to get the ConfigMaps novawire-telemetry-0 to -3 in the manager's
namespace. What each count means: docs/telemetry.md.

Exit codes: 0 success, 1 the cluster did not answer, 2 a wrong command line.`,
		Example: `  novawire telemetry
  novawire telemetry nova --watch
  novawire telemetry --price-per-gb 0.50 -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && flags.name != "" {
				return commandline.UsageError("telemetry: name the namespace once, as the argument or with --namespace")
			}
			if len(args) > 1 {
				return commandline.UsageError("telemetry: %q: name one namespace, or none for all", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.display.check("telemetry"); err != nil {
				return err
			}
			if flags.price < 0 {
				return commandline.UsageError("telemetry: --price-per-gb %g: use 0 or more", flags.price)
			}
			return flags.run(cmd, flags.name+strings.Join(args, ""))
		},
	}
	f := cmd.Flags()
	flags.cluster.register(f)
	flags.display.register(f)
	f.StringVarP(&flags.name, "namespace", "n", "", "the same as the argument NAMESPACE")
	f.StringVar(&flags.system, "system-namespace", defaultNamespace, "namespace of the manager")
	f.Float64Var(&flags.price, "price-per-gb", 0, "what the backend charges for a GB (10^9 bytes) of OTLP without compression, in any currency")
	flags.cluster.completeContexts(cmd)
	cmd.ValidArgsFunction = flags.cluster.namespaces(1)
	suggestValues(cmd, "output", "table", "json", "yaml")
	return cmd
}

func (f telemetryFlags) run(cmd *cobra.Command, namespace string) error {
	cluster, _, err := f.cluster.open("")
	if err != nil {
		return err
	}
	return f.display.run(cmd, func(ctx context.Context) ([]byte, error) {
		r, err := telemetry.Read(ctx, cluster, f.system, namespace, f.price)
		if err != nil {
			return nil, err
		}
		return f.display.encode(r, func(w io.Writer) error { return writeTelemetry(w, r, namespace != "") })
	})
}

// writeTelemetry prints a line for each service, or for each signal of each service.
func writeTelemetry(w io.Writer, r telemetry.Report, signals bool) error {
	if len(r.Services) == 0 {
		_, err := fmt.Fprintln(w, "nothing is counted: no wired pod ran, or the manager has no account (it stores one a minute after the first pod)")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if signals {
		writeSignals(table, r)
	} else {
		writeServices(table, r)
	}
	return table.Flush()
}

func writeServices(w io.Writer, r telemetry.Report) {
	cost := ""
	if r.PricePerGB > 0 {
		cost = "\tCOST"
	}
	fmt.Fprintln(w, "NAMESPACE\tSERVICE\tPODS\tGONE\tSPANS\tPOINTS\tRECORDS\tDELIVERED\tLOST\tLOSS\tREFUSED\tREDACTED\tSTORED\tUNKNOWN\tBYTES\tSHARE"+cost)
	for _, s := range r.Services {
		all := s.Total()
		if r.PricePerGB > 0 {
			cost = fmt.Sprintf("\t%.2f", s.Cost)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t%d\t%s\t%s%s\n", cell(s.Namespace), cell(s.Name), s.Pods, s.GonePods,
			s.Signals[ledgerapi.Traces].Accepted, s.Signals[ledgerapi.Metrics].Accepted, s.Signals[ledgerapi.Logs].Accepted,
			all.Exported, all.Lost(), percent(s.Loss), ledgerapi.Sum(all.Refused), ledgerapi.Sum(all.Redacted), all.Stored, s.UnknownRuns, units.Bytes(all.ExportedBytes), percent(s.Share), cost)
	}
}

func writeSignals(w io.Writer, r telemetry.Report) {
	fmt.Fprintln(w, "SERVICE\tSIGNAL\tACCEPTED\tDELIVERED\tDROPPED\tUNACCOUNTED\tSTORED\tREFUSED\tBYTES\tREASONS")
	for _, s := range r.Services {
		for _, signal := range ledgerapi.Signals() {
			e := s.Signals[signal]
			if isSilent(e) {
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", cell(s.Name), signal, e.Accepted, e.Exported, ledgerapi.Sum(e.Dropped), e.Unaccounted,
				e.Stored, ledgerapi.Sum(e.Refused), units.Bytes(e.ExportedBytes), cell(orDash(reasonsOf(e))))
		}
	}
}

// isSilent reports whether nobody sent anything of a signal.
func isSilent(e ledgerapi.Entry) bool {
	return e.Accepted == 0 && ledgerapi.Sum(e.Refused)+ledgerapi.Sum(e.RefusedRequests) == 0
}

// reasonsOf lists why items were dropped or refused.
func reasonsOf(e ledgerapi.Entry) string {
	var reasons []string
	for _, list := range []struct {
		what string
		by   map[string]int64
	}{{"dropped", e.Dropped}, {"refused", e.Refused}, {"requests refused", e.RefusedRequests}, {"redacted", e.Redacted}} {
		for _, reason := range sortedKeys(list.by, strings.Compare) {
			reasons = append(reasons, fmt.Sprintf("%s: %s (%d)", list.what, reason, list.by[reason]))
		}
	}
	return strings.Join(reasons, ", ")
}

// percent formats a share. A loss that is not zero never looks like zero.
func percent(share float64) string {
	if share > 0 && share < 0.0001 {
		return "<0.01%"
	}
	return fmt.Sprintf("%.2f%%", 100*share)
}
