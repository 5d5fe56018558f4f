package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/units"
)

// stateColumns are the heads of the columns of podCounts.row.
const stateColumns = "PODS\tWIRED\tMISSING\tSTALE\tCHANGED\tSKIPPED"

func (c podCounts) row() string {
	cells := []string{strconv.Itoa(c.total())}
	for _, state := range injection.PodStates() {
		cells = append(cells, strconv.Itoa(c[state]))
	}
	return strings.Join(cells, "\t")
}

// writeTable prints namespaces, or the workloads of one, or the pods of one workload.
func (s *clusterStatus) writeTable(w io.Writer, workloads, pods bool, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	switch {
	case pods:
		s.writePods(table, now)
	case workloads:
		s.writeWorkloads(table, now)
	default:
		s.writeNamespaces(table, now)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if workloads && !pods {
		if err := s.writeBackups(w, now); err != nil {
			return err
		}
	}
	for _, p := range s.Names {
		fmt.Fprintf(w, "note: %s\n", cell(fmt.Sprint(p)))
	}
	for _, note := range s.Notes {
		fmt.Fprintf(w, "note: %s\n", cell(note))
	}
	return nil
}

func (s *clusterStatus) writeNamespaces(table io.Writer, now time.Time) {
	fmt.Fprintln(table, "NAMESPACE\t"+stateColumns+"\tCONFIGURATION\tBACKUPS")
	for _, ns := range s.Namespaces {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", ns.Name, ns.Pods.row(), cell(orDash(ns.Configuration)), ns.backups(now))
	}
}

// backups sums up the backups of a namespace: how many databases, how many of them need
// attention, and the oldest last backup and last verified restore.
func (ns *namespaceStatus) backups(now time.Time) string {
	databases, troubled := 0, 0
	success, verified := &now, &now
	for _, s := range ns.Backups {
		for _, d := range s.Databases {
			databases++
			if stateText(s, d, now) != "ok" {
				troubled++
			}
			success, verified = older(success, d.LastSuccess), older(verified, d.LastVerified)
		}
		if len(s.Databases) == 0 {
			troubled++
		}
	}
	if len(ns.Backups) == 0 {
		return "-"
	}
	text := count(databases, "database")
	if databases > 0 {
		text += fmt.Sprintf(", last backup %s, last restore %s", age(success, now), age(verified, now))
	}
	if troubled > 0 {
		text += fmt.Sprintf(", %d not ok", troubled)
	}
	return text
}

// older returns the earlier of two times; nil, never, is the earliest.
func older(a, b *time.Time) *time.Time {
	if a == nil || b == nil {
		return nil
	}
	if b.Before(*a) {
		return b
	}
	return a
}

func (s *clusterStatus) writeWorkloads(table io.Writer, now time.Time) {
	fmt.Fprintln(table, "KIND\tNAME\t"+stateColumns+"\tCONFIGURATION\tREASONS")
	for _, ns := range s.Namespaces {
		for _, o := range ns.Workloads {
			var configurations, reasons []string
			for _, u := range o.Configurations {
				configurations = append(configurations, u.Hash+" since "+units.Age(now.Sub(u.Since.Time)))
			}
			for _, reason := range sortedKeys(o.Reasons, strings.Compare) {
				reasons = append(reasons, fmt.Sprintf("%s (%d)", reason, o.Reasons[reason]))
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", o.Kind, o.Name, o.Pods.row(), cell(orDash(strings.Join(configurations, ", "))), cell(orDash(strings.Join(reasons, ", "))))
		}
	}
}

func (s *clusterStatus) writePods(table io.Writer, now time.Time) {
	fmt.Fprintln(table, "POD\tSTATE\tAGE\tCONFIGURATION\tREASON")
	for _, ns := range s.Namespaces {
		for _, o := range ns.Workloads {
			for _, p := range o.Details {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", p.Name, p.State, units.Age(now.Sub(p.Created.Time)), cell(orDash(p.Configuration)), cell(p.Reason))
			}
		}
	}
}

// writeBackups prints a line for each database, as `backup status` does.
func (s *clusterStatus) writeBackups(w io.Writer, now time.Time) error {
	for _, ns := range s.Namespaces {
		if len(ns.Backups) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := writeStatusTable(w, ns.Backups, now); err != nil {
			return err
		}
	}
	return nil
}
