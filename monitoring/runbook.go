package monitoring

import (
	"fmt"
	"strings"
)

// Runbook returns the page of the group: what each alert means, the first commands,
// the usual cause, and how to silence it.
func (g Group) Runbook() []byte {
	var page strings.Builder
	fmt.Fprintf(&page, "<!-- Generated from package monitoring by `make generate`; do not edit. -->\n\n# Alerts: %s\n", g.Title)
	page.WriteString("\nReplace the words in capitals by the labels of the alert.\n")
	for _, a := range g.Alerts {
		fmt.Fprintf(&page, "\n## %s\n\n%s, severity %s", a.Name, firesAfter(a), a.Severity)
		if a.Alarm != nil {
			page.WriteString(", also a CloudWatch alarm")
		}
		fmt.Fprintf(&page, ".\n\n%s\n\nFirst commands:\n\n```sh\n%s\n```\n\nUsual cause: %s\n", a.Meaning, strings.Join(a.Commands, "\n"), a.Cause)
		fmt.Fprintf(&page, "\nSilence it with a reason:\n\n```sh\namtool silence add alertname=%s --duration=4h --comment=\"REASON, TICKET\"\n```\n", a.Name)
	}
	return []byte(page.String())
}

func firesAfter(a Alert) string {
	if a.For == 0 {
		return "Fires at once"
	}
	return "Fires after " + duration(a.For)
}
