package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/report"
)

const guide = "../../docs/backup.md"

// The guide's tables are the contract, word for word; -update writes them.
func TestDocs_Variables(t *testing.T) {
	content, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	want := string(content)
	for name, table := range map[string]string{"environment": environmentTable(), "exit-codes": exitTable()} {
		want = between(t, want, name, table)
	}
	if want == string(content) {
		return
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(guide, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("docs/backup.md is not what the contract says; run: UPDATE=1 go test ./cmd/pg-backup -run TestDocs_Variables")
}

func TestDocs_CommandsAndMeasurements(t *testing.T) {
	content, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range (program{}).command().Commands() {
		if !strings.Contains(string(content), "`pg-backup "+verb.Name()) && verb.Name() != "run" {
			t.Errorf("verb %s is not in the guide", verb.Name())
		}
		if !strings.Contains(verb.Long, "Exit codes:") {
			t.Errorf("verb %s does not document its exit codes", verb.Name())
		}
	}
	for _, name := range []string{
		report.MeasureSuccess, report.MeasureFailure, report.MeasureDuration, report.MeasureBytes, report.MeasureStored, report.MeasureAge,
		report.MeasureVerifiedAge, report.MeasureAnomalies, report.MeasurePruned, report.MeasureDrillSuccess, report.MeasureDrillDuration,
		report.MeasureHeld, report.MeasureHeldAge, report.MeasureNotGood, report.MeasurePruneRefused,
		report.MeasureCopyFailure, report.MeasureCopyAge,
	} {
		if !strings.Contains(string(content), "`"+name+"`") {
			t.Errorf("metric %s is not in the guide", name)
		}
	}
}

func environmentTable() string {
	var out strings.Builder
	out.WriteString("| variable | flag | default | allowed | meaning |\n|---|---|---|---|---|\n")
	for _, v := range backupapi.Environment() {
		def := "–"
		if v.Default != "" {
			def = "`" + v.Default + "`"
		}
		fmt.Fprintf(&out, "| `%s` | `--%s` | %s | %s | %s |\n", v.Name, v.Flag(), def, v.Allowed, v.Meaning)
	}
	return out.String()
}

func exitTable() string {
	var out strings.Builder
	out.WriteString("| code | category | meaning |\n|---|---|---|\n")
	for _, exit := range backupapi.Exits() {
		category := "–"
		if exit.Category != "" {
			category = "`" + string(exit.Category) + "`"
		}
		fmt.Fprintf(&out, "| %d | %s | %s |\n", exit.Code, category, exit.Meaning)
	}
	return out.String()
}

// between replaces what stands between <!-- name --> and <!-- /name -->.
func between(t *testing.T, text, name, table string) string {
	t.Helper()
	before, rest, found := strings.Cut(text, "<!-- "+name+" -->\n")
	_, after, closed := strings.Cut(rest, "<!-- /"+name+" -->")
	if !found || !closed {
		t.Fatalf("no place for %s in the guide", name)
	}
	return before + "<!-- " + name + " -->\n" + table + "<!-- /" + name + " -->" + after
}
