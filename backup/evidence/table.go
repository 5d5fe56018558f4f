package evidence

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nova/novawire/backup"
)

// Judge returns an error if a chain has problems, or if there is no record at all.
func Judge(chains []Chain) error {
	records, problems := 0, 0
	for _, c := range chains {
		records += len(c.Entries)
		problems += len(c.Problems)
	}
	switch {
	case problems > 0:
		return fmt.Errorf("%d problems were found in the evidence", problems)
	case records == 0:
		return errors.New("no evidence was found: no drill with a signing key has run")
	}
	return nil
}

// WriteRecords writes a table of the records and, below it, of the problems.
func WriteRecords(w io.Writer, chains []Chain) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "DATABASE\tRECORD\tFINISHED\tBACKUP\tRESTORED\tTABLES\tROWS\tSECONDS\tSERVER\tRUN BY\tSIGNED BY")
	for _, c := range chains {
		for _, e := range c.Entries {
			restored := "yes"
			if !e.Verified {
				restored = "NO: " + backup.Summarize(e.Differences)
			}
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%d\t%d\t%.1f\t%s\t%s\t%s\n", printable(c.Database), e.Sequence, e.Finished.Format(time.RFC3339), printable(e.Backup),
				printable(restored), e.Tables, e.Rows, e.RestoreSeconds, printable(e.RestoredInto), printable(e.RunBy+"@"+e.Host), e.SignedBy)
		}
	}
	writeProblems(table, chains)
	return table.Flush()
}

// WriteVerdicts writes a table of the chains and, below it, of the problems.
func WriteVerdicts(w io.Writer, chains []Chain) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "DATABASE\tRECORDS\tRESTORED\tLAST\tTAIL\tRESULT")
	for _, c := range chains {
		last, result := "-", "ok"
		if n := len(c.Entries); n > 0 {
			last = c.Entries[n-1].Finished.Format(time.RFC3339)
		}
		if len(c.Problems) > 0 {
			result = fmt.Sprintf("%d PROBLEMS", len(c.Problems))
		}
		tail := "no signed manifest names a record"
		if c.Anchored > 0 {
			tail = fmt.Sprintf("known up to record %d", c.Anchored)
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\n", printable(c.Database), len(c.Entries), c.Verified(), last, tail, result)
	}
	writeProblems(table, chains)
	return table.Flush()
}

func writeProblems(table io.Writer, chains []Chain) {
	for _, c := range chains {
		for _, p := range c.Problems {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(c.Database), strings.ToUpper(p.Kind), printable(p.Name), printable(p.Problem))
		}
	}
}

// printable replaces what could move a terminal's cursor or turn text around: names are
// those of a bucket.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return '\uFFFD'
		}
		return c
	}, text)
}
