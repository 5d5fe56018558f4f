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
		Short: "Show the backups there are",
		Long:  "Shows every committed backup, the newest first, whether a drill restored it, and what is known to be wrong with it.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	database := cmd.Flags().String("database", "", "only this database's")
	output := cmd.Flags().StringP("output", "o", "table", "table or json")
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		backups, err := backup.List(ctx, s.store, *database)
		if err != nil {
			return err
		}
		switch *output {
		case "table":
			return printTable(s.stdout, backups, s.now())
		case "json":
			return printJSON(s.stdout, backups)
		}
		return usageError("--output is table or json, not %q", *output)
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
	Verified  *time.Time `json:"verified,omitempty"` // when a drill restored it
	Problem   string     `json:"problem,omitempty"`
	Anomalies []string   `json:"anomalies,omitempty"`
}

func printJSON(to io.Writer, backups []backup.Listed) error {
	all := []listed{}
	for _, b := range backups {
		l := listed{
			Database: b.Entry.Database, Backup: b.Entry.ID, Taken: b.Entry.Taken, Bytes: b.Manifest.Bytes(), Stored: b.Manifest.Stored(),
			Rows: b.Manifest.Content.Rows(), Encrypted: b.Manifest.Encrypted, Held: b.Entry.Held, Problem: b.Problem, Anomalies: b.Manifest.Anomalies,
		}
		if b.Verification != nil && b.Verification.Verified {
			l.Verified = &b.Verification.Started
		}
		all = append(all, l)
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

func printTable(to io.Writer, backups []backup.Listed, now time.Time) error {
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "DATABASE\tBACKUP\tAGE\tDUMPED\tSTORED\tROWS\tRESTORED\tSTATE")
	for _, b := range backups {
		restored := "never"
		if v := b.Verification; v != nil && v.Verified {
			restored = fmt.Sprintf("%s ago, in %s", units.Age(now.Sub(v.Started)), time.Duration(v.Seconds*float64(time.Second)).Round(time.Second))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", b.Entry.Database, b.Entry.ID, units.Age(now.Sub(b.Entry.Taken)),
			units.Bytes(b.Manifest.Bytes()), units.Bytes(b.Manifest.Stored()), b.Manifest.Content.Rows(), restored, state(b))
	}
	return table.Flush()
}

func state(b backup.Listed) string {
	var words []string
	if b.Problem != "" {
		words = append(words, "DAMAGED: "+oneLine(b.Problem))
	}
	if b.Entry.Held {
		words = append(words, "held")
	}
	if n := len(b.Manifest.Anomalies); n > 0 {
		words = append(words, fmt.Sprintf("%d anomalies", n))
	}
	if len(words) == 0 {
		return "ok"
	}
	return strings.Join(words, ", ")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
