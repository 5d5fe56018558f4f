package preview

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/nova/novawire/webhook/inject"
)

// WriteExplanation prints, for each pod template, the decision, and each value with
// its rule and its source.
func WriteExplanation(w io.Writer, objects []Object) error {
	for i, o := range objects {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if o.Excluded != "" {
			fmt.Fprintf(w, "%s: not wired: %s\n", o.Where, o.Excluded)
			continue
		}
		if o.Uninspected != "" {
			fmt.Fprintf(w, "%s: %s\n", o.Where, o.uninspectedText())
			continue
		}
		if err := WriteDecision(w, o.Where, o.Result); err != nil {
			return err
		}
	}
	return nil
}

// WriteDecision prints a decision, each value with its rule and its source, and the notes.
func WriteDecision(w io.Writer, where string, r inject.Result) error {
	fmt.Fprintf(w, "%s: %s: %s\n", where, r.Action, r.Reason.Text())
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Explanation) > 0 {
		fmt.Fprintln(table, "  WHERE\tWHAT\tRULE\tSOURCE\tVALUE")
	}
	for _, l := range r.Explanation {
		container := l.Container
		if container == "" {
			container = "pod"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", Cell(container), Cell(l.Subject), l.Rule, Cell(l.Source), Cell(l.Value))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "  %s: %s\n", n.Reason, Cell(n.String()))
	}
	return nil
}

// Cell returns a text from the cluster for a terminal. Whoever may create a pod chooses names and
// annotations: what a terminal could obey, or what would be another cell or line, is quoted.
func Cell(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	return strconv.Quote(text)
}

func (o Object) uninspectedText() string {
	return fmt.Sprintf("containers in %s not wired: they are not in a pod template that accepts a sidecar; their pods are wired when they are created", o.Uninspected)
}

// WriteWarnings prints the warnings about documents and pod templates, one per line.
func WriteWarnings(w io.Writer, documents []*Document, objects []Object) {
	for _, d := range documents {
		if d.rewritten {
			fmt.Fprintf(w, "%s:%d: warning: comments, aliases and formatting of this document are lost: the changes cannot be made in its text\n", d.file, d.line)
		}
	}
	for _, o := range objects {
		if o.Uninspected != "" {
			fmt.Fprintf(w, "%s: warning: %s\n", o.Where, o.uninspectedText())
		}
		if o.Result.Action == inject.Skipped && o.Result.Reason.Level() > inject.Info {
			fmt.Fprintf(w, "%s: warning: not wired: %s\n", o.Where, o.Result.Reason.Text())
		}
		for _, n := range o.Result.Notes {
			if n.Reason.Level() > inject.Info {
				fmt.Fprintf(w, "%s: warning: %s\n", o.Where, n)
			}
		}
	}
}
