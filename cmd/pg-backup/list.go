package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/units"
)

func (p program) listVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show all backups",
		Long:  "Shows every committed backup, the newest first, whether a drill restored it, and the known problems.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	database := cmd.Flags().String("database", "", "only the backups of this database")
	output := cmd.Flags().StringP("output", "o", "table", "table or json")
	addFromCopy(cmd)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		if *output != "table" && *output != "json" {
			return usageError("--output is %q: use table or json", *output)
		}
		inventory, err := backup.ReadInventory(ctx, s.store, *database)
		if err != nil {
			return err
		}
		var backups backup.Records
		for _, name := range inventory.Databases() {
			backups = append(backups, inventory.Backups[name]...)
		}
		if *output == "json" {
			return printJSON(s.stdout, backups)
		}
		return printTable(s.stdout, backups, s.now())
	})
	return cmd
}

// listed is a backup in `list -o json`.
type listed struct {
	Database  string     `json:"database"`
	Backup    string     `json:"backup"`
	Taken     time.Time  `json:"taken"`
	Bytes     int64      `json:"bytes"`
	Stored    int64      `json:"stored"`
	Rows      int64      `json:"rows"`
	Encrypted bool       `json:"encrypted"`
	Held      bool       `json:"held"`
	Verified  *time.Time `json:"verified,omitempty"`  // when a drill restored it
	Condition string     `json:"condition,omitempty"` // why it does not count as a way back
	Problem   string     `json:"problem,omitempty"`   // explains the condition
	Anomalies []string   `json:"anomalies,omitempty"`
	// WithoutData are tables whose data is not in the backup, at most 20;
	// WithoutDataCount counts all. ExcludedDatabases have no backup.
	WithoutData       []string `json:"withoutData,omitempty"`
	WithoutDataCount  int      `json:"withoutDataCount,omitempty"`
	ExcludedDatabases []string `json:"excludedDatabases,omitempty"`
}

func printJSON(to io.Writer, backups backup.Records) error {
	all := []listed{}
	for _, b := range backups {
		l := listed{
			Database: b.Entry.Database, Backup: b.Entry.ID, Taken: b.Entry.Taken, Bytes: b.Summary.Bytes, Stored: b.Summary.Stored, Rows: b.Summary.Rows,
			Encrypted: b.Summary.Encrypted, Held: b.Entry.Held, Condition: string(b.Condition), Problem: b.Problem, Anomalies: b.Summary.Anomalies,
			WithoutData: b.Summary.WithoutData, WithoutDataCount: b.Summary.WithoutDataCount, ExcludedDatabases: b.Summary.ExcludedDatabases,
		}
		if b.Verified() {
			l.Verified = &b.Verification.Started
		}
		all = append(all, l)
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

func printTable(to io.Writer, backups backup.Records, now time.Time) error {
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "DATABASE\tBACKUP\tAGE\tDUMPED\tSTORED\tROWS\tRESTORED\tSTATE")
	for _, b := range backups {
		restored := "never"
		if v := b.Verification; b.Verified() {
			restored = fmt.Sprintf("%s ago, in %s", units.Age(now.Sub(v.Started)), time.Duration(v.Seconds*float64(time.Second)).Round(time.Second))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", b.Entry.Database, b.Entry.ID, units.Age(now.Sub(b.Entry.Taken)),
			units.Bytes(b.Summary.Bytes), units.Bytes(b.Summary.Stored), b.Summary.Rows, restored, state(b))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, name := range newestExcluded(backups) {
		fmt.Fprintf(to, "not backed up: database %s, by EXCLUDE_DATABASES\n", name)
	}
	return nil
}

// newestExcluded returns the databases that the newest run left out.
func newestExcluded(backups backup.Records) []string {
	var newest backup.Record
	for _, b := range backups {
		if b.Entry.Taken.After(newest.Entry.Taken) {
			newest = b
		}
	}
	return newest.Summary.ExcludedDatabases
}

func state(b backup.Record) string {
	var words []string
	if !b.Good() {
		words = append(words, strings.ToUpper(string(b.Condition))+": "+oneLine(b.Problem))
	}
	if b.Entry.Held {
		words = append(words, "held")
	}
	if n := b.Summary.AnomalyCount; n > 0 {
		words = append(words, fmt.Sprintf("%d anomalies", n))
	}
	if n := b.Summary.WithoutDataCount; n > 0 {
		names := strings.Join(b.Summary.WithoutData[:min(n, 3, len(b.Summary.WithoutData))], ", ")
		words = append(words, fmt.Sprintf("without the data of %d tables (%s%s)", n, names, map[bool]string{true: ", …"}[n > 3]))
	}
	if len(words) == 0 {
		return "ok"
	}
	return strings.Join(words, ", ")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
