//go:build e2e

package e2e

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// checkRunbooks runs the first commands of every alert's page, with the words in capitals
// replaced by a pod, a service or a database of the test, and silences the alert.
func checkRunbooks(t *testing.T, m monitoring, n namespace, d database) {
	pods, err := n.pods(t.Context(), "shop")
	if err != nil || len(pods) == 0 {
		t.Fatalf("no pod of the service: %v", err)
	}
	words := map[string]map[string]string{
		"services":     {"NAMESPACE": n.name, "SERVICE": "shop"},
		"sidecar":      {"NAMESPACE": n.name, "POD": pods[0].Name},
		"backup":       {"NAMESPACE": d.name, "STATEFULSET": statefulName, "KIND": "statefulset", "NAME": statefulName},
		"logs":         {"POD": "e2e-down"},
		"webhook":      {"NAMESPACE": n.name},
		"certificates": {},
	}
	amtool := amtoolCommand(t, m)
	pages, err := filepath.Glob("../docs/runbooks/alerts/*.md")
	if err != nil || len(pages) != len(words) {
		t.Fatalf("%d pages, and words for %d: %v", len(pages), len(words), err)
	}
	ran := map[string]bool{}
	for _, page := range pages {
		for alert, commands := range alertCommands(t, page) {
			if len(commands) != 4 {
				t.Errorf("%s has %d commands, want three and the silence", alert, len(commands))
			}
			for _, command := range commands {
				command = fill(command, words[strings.TrimSuffix(filepath.Base(page), ".md")])
				if ran[command] || strings.Contains(command, " --from-copy") { // no second store is here
					continue
				}
				ran[command] = true
				command = strings.Replace(command, "amtool ", amtool+" ", 1)
				out, err := d.shell(command)
				// A search that finds nothing ends with 1.
				if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(command, "| grep")) {
					t.Errorf("%s: %s: %v\n%s", alert, command, err, out)
				}
			}
		}
	}
	t.Logf("%d commands ran", len(ran))
	if out, err := d.shell(amtool + " silence expire $(" + amtool + " silence query --quiet)"); err != nil {
		t.Errorf("end the silences: %v\n%s", err, out)
	}
}

// alertCommands returns the commands of each alert of a page.
func alertCommands(t *testing.T, page string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, _, _ := strings.Cut(section, "\n")
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
			all[name] = append(all[name], strings.Split(strings.TrimSpace(block[1]), "\n")...)
		}
	}
	return all
}

func fill(command string, words map[string]string) string {
	words = maps.Clone(words)
	words["REASON, TICKET"] = "the end-to-end test"
	for word, value := range words {
		command = regexp.MustCompile(`\b`+word+`\b`).ReplaceAllString(command, value)
	}
	return command
}

// amtoolCommand returns how amtool is run where nothing is configured: its path, and the address
// of the cluster's Alertmanager.
func amtoolCommand(t *testing.T, m monitoring) string {
	t.Helper()
	amtool := os.Getenv("NOVAWIRE_AMTOOL")
	if amtool == "" {
		prerequisite.Skip(t, `NOVAWIRE_AMTOOL is not set; run: eval "$(tools/provide promtool env)", or make e2e`)
	}
	return amtool + " --alertmanager.url=" + namespace{m.Resources, t, m.name}.forward(m.pod("alertmanager", readyOrSucceeded), 9093)
}
