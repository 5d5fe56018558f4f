package preview

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/nova/novawire/webhook/inject"
)

// WriteExplanation lists, for each workload, what was decided, by which rule,
// and where the value comes from.
func WriteExplanation(w io.Writer, objects []Object) error {
	for i, o := range objects {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if o.Left != "" {
			fmt.Fprintf(w, "%s: left alone: %s\n", o.Where, o.Left)
			continue
		}
		fmt.Fprintf(w, "%s: %s: %s\n", o.Where, o.Result.Action, o.Result.Reason.Text())
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		if len(o.Result.Explanation) > 0 {
			fmt.Fprintln(table, "  WHERE\tWHAT\tRULE\tSOURCE\tVALUE")
		}
		for _, l := range o.Result.Explanation {
			where := l.Container
			if where == "" {
				where = "pod"
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", where, l.Subject, l.Rule, l.Source, l.Value)
		}
		if err := table.Flush(); err != nil {
			return err
		}
		for _, n := range o.Result.Notes {
			fmt.Fprintf(w, "  %s: %s\n", n.Reason, n)
		}
	}
	return nil
}

// WriteWarnings tells, a line each, what a user should know of the workloads.
func WriteWarnings(w io.Writer, objects []Object) {
	for _, o := range objects {
		if o.Result.Action == inject.Skipped && o.Result.Reason.Level() > inject.Info {
			fmt.Fprintf(w, "%s: warning: left as it is: %s\n", o.Where, o.Result.Reason.Text())
		}
		for _, n := range o.Result.Notes {
			if n.Reason.Level() > inject.Info {
				fmt.Fprintf(w, "%s: warning: %s\n", o.Where, n)
			}
		}
	}
}
