package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/units"
)

// statusEntry is one source in `backup status -o json`. Its reference is that of the
// command line: NAME of a StatefulSet, else KIND/NAME.
type statusEntry struct {
	Namespace   string `json:"namespace"`
	StatefulSet string `json:"statefulSet"`
	backupapi.Status
}

func backupStatusCommand() *cobra.Command {
	var flags clusterFlags
	var namespace, output string
	var all bool
	cmd := &cobra.Command{
		Use:   "status [KIND/NAME]",
		Short: "Show the newest backup of each database and the result of the last attempt",
		Long: `Shows the backups of every annotated object, including deleted ones, with one line for
each database. SUCCESS is the age of the newest committed backup. VERIFIED is the age of the
newest backup that a drill has restored.

Exit codes: 0 success, 1 the cluster did not answer, 2 a wrong command line.`,
		Example: "  novawire backup status -A",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneSource(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return commandline.UsageError("backup status: output %q: use table or json", output)
			}
			cluster, in, err := flags.open(namespace)
			if err != nil {
				return err
			}
			if all {
				in = metav1.NamespaceAll
			}
			states, err := listStatuses(cmd.Context(), cluster, in)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				source, _ := parseSource(args)
				states = slices.DeleteFunc(states, func(s statusEntry) bool { return s.StatefulSet != source.Reference() })
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(states)
			}
			return writeStatusTable(cmd.OutOrStdout(), states, time.Now())
		},
	}
	f := cmd.Flags()
	flags.register(f)
	f.StringVarP(&namespace, "namespace", "n", "", "namespace; default: that of the kubeconfig's context")
	f.BoolVarP(&all, "all-namespaces", "A", false, "all namespaces")
	f.StringVarP(&output, "output", "o", "table", "table or json")
	flags.completeNamespaces(cmd)
	cmd.ValidArgsFunction = flags.completeSources(&namespace)
	suggestValues(cmd, "output", "table", "json")
	return cmd
}

// listStatuses reads the status annotations of CronJobs, which outlive their
// source, and of StatefulSets that have no CronJob, for example because the
// request was refused.
func listStatuses(ctx context.Context, cluster *kubernetes.Client, namespace string) ([]statusEntry, error) {
	states := []statusEntry{}
	known := map[[2]string]bool{}
	add := func(namespace, name string, annotations map[string]string) error {
		text := annotations[backupapi.AnnotationStatus]
		if text == "" || known[[2]string{namespace, name}] {
			return nil
		}
		status, err := backupapi.ParseStatus(text)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", namespace, name, err)
		}
		known[[2]string{namespace, name}] = true
		states = append(states, statusEntry{namespace, name, status})
		return nil
	}
	jobs, err := kubernetes.CronJobs.List(ctx, cluster, namespace, metav1.ListOptions{LabelSelector: resources.LabelManagedBy + "=" + resources.ManagedBy})
	if err != nil {
		return nil, fmt.Errorf("list CronJobs: %w", err)
	}
	var mistakes []error
	for _, o := range jobs {
		mistakes = append(mistakes, add(o.Namespace, reference(&o), o.Annotations))
	}
	sets, err := kubernetes.StatefulSets.List(ctx, cluster, namespace, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list StatefulSets: %w", err)
	}
	for _, o := range sets {
		mistakes = append(mistakes, add(o.Namespace, o.Name, o.Annotations))
	}
	slices.SortFunc(states, func(a, b statusEntry) int {
		return strings.Compare(a.Namespace+"/"+a.StatefulSet, b.Namespace+"/"+b.StatefulSet)
	})
	return states, errors.Join(mistakes...)
}

// reference returns that of the source that a CronJob was made for.
func reference(o metav1.Object) string {
	source, _ := resources.MadeFor(o)
	return source.Reference()
}

func writeStatusTable(w io.Writer, states []statusEntry, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tOBJECT\tDATABASE\tSUCCESS\tVERIFIED\tSIZE\tSTORED\tTOOK\tSTATE")
	for _, s := range states {
		databases := s.Databases
		if len(databases) == 0 {
			databases = []backupapi.DatabaseStatus{{Name: "-"}}
		}
		for _, d := range databases {
			row := []string{s.Namespace, s.StatefulSet, d.Name, age(d.LastSuccess, now), age(d.LastVerified, now), "-", "-", "-", stateText(s, d, now)}
			if d.Backup != "" {
				row[5], row[6] = units.Bytes(d.Bytes), units.Bytes(d.Stored)
				row[7] = time.Duration(d.Seconds * float64(time.Second)).Round(time.Second).String()
			}
			fmt.Fprintln(table, line(row))
		}
	}
	return table.Flush()
}

func age(t *time.Time, now time.Time) string {
	if t == nil {
		return "never"
	}
	return units.Age(now.Sub(*t))
}

// stateText describes the state of a database, the most urgent part first.
func stateText(s statusEntry, d backupapi.DatabaseStatus, now time.Time) string {
	var parts []string
	if len(s.Refused) > 0 {
		parts = append(parts, "refused: "+strings.Join(s.Refused, "; "))
	}
	if s.Suspended != "" {
		parts = append(parts, "suspended: "+s.Suspended)
	}
	switch {
	case d.Failure != backupapi.CategorySucceeded:
		parts = append(parts, fmt.Sprintf("failed %s ago: %s: %s", age(d.FailedAt, now), d.Failure, d.Message))
	case s.LastRun != nil && s.LastRun.Category != backupapi.CategorySucceeded:
		parts = append(parts, fmt.Sprintf("failed %s ago: %s: %s", age(&s.LastRun.Finished, now), s.LastRun.Category, s.LastRun.Message))
	}
	if s.LastDrill != nil && s.LastDrill.Category != backupapi.CategorySucceeded {
		parts = append(parts, fmt.Sprintf("drill failed %s ago: %s: %s", age(&s.LastDrill.Finished, now), s.LastDrill.Category, s.LastDrill.Message))
	}
	if d.Anomalies > 0 {
		parts = append(parts, fmt.Sprintf("%d anomalies", d.Anomalies))
	}
	if d.NotGood > 0 {
		parts = append(parts, fmt.Sprintf("%d backups are not good", d.NotGood))
	}
	if d.PruneRefused {
		parts = append(parts, "prune refused")
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "; ")
	case d.LastSuccess == nil:
		return "no backup yet; next: " + s.Schedule + " " + s.TimeZone
	}
	return "ok"
}
