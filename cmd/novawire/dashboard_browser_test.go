package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/cmd/novawire/dashboard"
	"github.com/nova/novawire/internal/testing/browser"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// Every text of a cluster may be markup of an attacker, who can write annotations and
// messages. It is shown as text.
func TestDashboard_TextsAreNotMarkup(t *testing.T) {
	const hostile = `"'><img src=x onerror="window.ran=1"><script>window.ran=1</script><a href="javascript:window.ran=1">x</a>`
	a := sampleAnswers(time.Now())
	for _, field := range []*any{&a.status, &a.pods, &a.explain} {
		*field = poison(t, *field, hostile)
	}
	p := openPage(t, a)
	showEverything(p)
	browser.Value[bool](p, "document.querySelector('[data-action=explain]').click(), true")
	p.Wait("document.querySelector('.why')")
	if n := browser.Value[int](p, "document.querySelectorAll('#content img, #content script, dialog img, dialog script, [onerror], a[href^=javascript], #where img').length + (window.ran || 0)"); n != 0 {
		t.Errorf("%d elements of the attacker", n)
	}
	text := browser.Value[string](p, "document.body.innerText")
	if n := strings.Count(text, "<script>window.ran=1</script>"); n < 30 {
		t.Errorf("the texts are shown %d times:\n%s", n, text)
	}
}

// poison appends a text to each string of a JSON value that is not a date or a code.
func poison(t *testing.T, value any, text string) any {
	t.Helper()
	raw, err := json.Marshal(value)
	must(t, err)
	var tree any
	must(t, json.Unmarshal(raw, &tree))
	codes := []string{"first", "days", "restores", "since", "created", "lastSuccess", "lastVerified", "explained"}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case string:
			return v + text
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for key := range v {
				if !slices.Contains(codes, key) {
					v[key] = walk(v[key])
				}
			}
		}
		return v
	}
	return walk(tree)
}

// Who has no mouse reaches everything, sees where the focus is, and comes back.
func TestDashboard_Keyboard(t *testing.T) {
	today := time.Now().UTC()
	p := openPage(t, sampleAnswers(today))
	p.Wait(loaded)
	tabTo := func(want string) {
		t.Helper()
		var seen []string
		for range 80 {
			p.Press(browser.Tab)
			now := browser.Value[string](p, focusText)
			if seen = append(seen, now); strings.HasPrefix(now, want) {
				if style := browser.Value[string](p, "getComputedStyle(document.activeElement).outlineStyle"); style != "solid" && style != "auto" {
					t.Errorf("the focus on %q is not seen: outline %s", want, style)
				}
				return
			}
		}
		t.Fatalf("Tab does not reach %q, but\n%s", want, strings.Join(seen, "\n"))
	}
	expanded := func() string {
		return browser.Value[string](p, "document.activeElement.getAttribute('aria-expanded') || ''")
	}
	tabTo("Skip to the content")
	tabTo("Wiring")
	tabTo("find")
	p.Press("f", "e", "e", "d")
	p.Wait("document.querySelectorAll('.namespace').length === 1")
	tabTo("only-drifted")
	p.Press(browser.Space)
	p.Wait("document.querySelector('#only-drifted').checked && document.querySelectorAll('.namespace-body tbody tr').length === 1")
	tabTo("nova 2 missing 1 stale 1 changed 3 skipped 16 pods")
	if expanded() != "true" {
		t.Error("what was found is not open")
	}
	tabTo("Workloads of nova") // it may be wider than the window: arrow keys scroll it
	tabTo("feed Deployment")
	p.Press(browser.Enter)
	p.Wait("document.querySelector('tr.pods table')")
	if expanded() != "true" {
		t.Error("the workload does not say that it is open")
	}
	tabTo("Explain")
	p.Press(browser.Enter)
	p.Wait("document.querySelector('dialog[open] .why')")
	tabTo("Close")
	p.Press(browser.Escape)
	p.Wait("!document.querySelector('dialog[open]')")
	if back := browser.Value[string](p, "document.activeElement.getAttribute('aria-label')"); back != "Explain Deployment feed" {
		t.Errorf("the focus does not come back: %q", back)
	}
	tabTo("Explain") // of a pod
	tabTo("nova / auth-db ok")
	if expanded() != "true" {
		t.Error("the first calendar is not open")
	}
	p.Press(browser.Enter)
	p.Wait("document.activeElement.getAttribute('aria-expanded') === 'false'")
	p.Press(browser.Enter)
	tabTo("Databases of nova/auth-db")
	p.Press(browser.Tab)
	day := func() string {
		return browser.Value[string](p, "document.activeElement.closest('.calendar').querySelector('.day-text').innerText")
	}
	for _, step := range []struct {
		key  string
		back int
		what string
	}{
		{"", 0, "backup succeeded"},
		{browser.Up, 1, "backup succeeded"},
		{browser.Left, 8, "backup succeeded"},
		{browser.Up, 9, "backup succeeded"},
		{browser.Up, 10, "backup succeeded"},
		{browser.Up, 11, "backup succeeded"},
		{browser.Up, 12, "backup succeeded, restore proven by a drill"},
		{browser.Home, 370, "nothing is recorded"},
		{browser.Left, 370, "nothing is recorded"},
		{browser.End, 0, "backup succeeded"},
	} {
		if step.key != "" {
			p.Press(step.key)
		}
		if want := today.AddDate(0, 0, -step.back).Format("Monday 2 January 2006") + ": " + step.what; strings.ReplaceAll(day(), ",", "") != strings.ReplaceAll(want, ",", "") {
			t.Errorf("%s: %q, want %q", step.key, day(), want)
		}
	}
	tabTo("nova / content-db needs attention") // one Tab stop for the grid
	tabTo("Telemetry of services")
	tabTo("nova / feed") // the one that lost something is the first
	p.Press(browser.Enter)
	p.Wait("document.activeElement.closest('tr').nextSibling.innerText.includes('dropped: queue_full (10)')")
}

// The rules of WCAG 2.2 A and AA, contrast among them, as axe-core has them.
func TestDashboard_Accessible(t *testing.T) {
	axe, err := os.ReadFile(prerequisite.Path(t, "NOVAWIRE_AXE", "chromium"))
	must(t, err)
	p := openPage(t, sampleAnswers(time.Now()))
	browser.Value[bool](p, string(axe)+";true")
	check := func(t *testing.T) {
		t.Helper()
		report := browser.Value[struct{ Passes, Violations []string }](p, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => ({
			passes: r.passes.map(v => v.id),
			violations: r.violations.map(v => v.id + ": " + v.help + "\n" + v.nodes.slice(0, 3).map(n => n.html + " " + n.failureSummary).join("\n")),
		}))`)
		if !slices.Contains(report.Passes, "color-contrast") || len(report.Passes) < 15 {
			t.Errorf("only these rules were applied: %s", report.Passes)
		}
		for _, v := range report.Violations {
			t.Error(v)
		}
	}
	showEverything(p)
	for _, dark := range []bool{false, true} {
		for _, width := range []int64{1280, 390} {
			p.Appear(width, 900, dark)
			t.Run(fmt.Sprintf("%d wide, dark %v", width, dark), func(t *testing.T) {
				check(t)
				if over := browser.Value[int](p, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
					t.Errorf("the page is %d pixels wider than the window", over)
				}
			})
		}
		p.Appear(1280, 900, dark)
		browser.Value[bool](p, "document.querySelector('[data-action=explain]').click(), true")
		p.Wait("document.querySelector('dialog[open] .why')")
		t.Run(fmt.Sprintf("explain, dark %v", dark), check)
		p.Press(browser.Escape)
	}
	background := func(dark bool) string {
		p.Appear(1280, 900, dark)
		return browser.Value[string](p, "getComputedStyle(document.body).backgroundColor")
	}
	if light, dark := background(false), background(true); light == dark {
		t.Errorf("dark and light are both %s", dark)
	}
}

// Errors are one line each, and what was read stays.
func TestDashboard_Errors(t *testing.T) {
	a := sampleAnswers(time.Now())
	p := browser.New(t) // the browser logs answers that are errors: its problems are expected
	server := httptest.NewServer(dashboard.Handler(a))
	defer server.Close()
	alert := func(want string) {
		t.Helper()
		p.Wait(fmt.Sprintf("document.querySelector('[role=alert]').innerText.includes(%q)", want))
	}
	a.set(func(a *answers) {
		a.err = &dashboard.Error{Status: http.StatusForbidden, Err: errors.New("list pods: forbidden")}
	})
	p.Open(server.URL)
	alert("No new data. list pods: forbidden")
	p.Wait("document.querySelector('#content').innerText.includes('There is nothing to show yet.')")
	a.set(func(a *answers) { a.err = nil })
	p.Wait(loaded)
	alert("")
	p.Wait("document.querySelector('[role=alert]').innerText === '' && document.querySelector('#fresh').innerText.startsWith('Updated')")
	a.set(func(a *answers) { a.err = errors.New("the API server of prod does not answer") })
	alert("the API server of prod does not answer")
	p.Wait(loaded + " && document.querySelector('#fresh').innerText.startsWith('Data from')")
	browser.Value[bool](p, "document.querySelector('#ns-nova button').click(), true")
	browser.Value[bool](p, "document.querySelector('[data-action=explain]').click(), true")
	p.Wait("document.querySelector('dialog .problem')?.innerText.includes('does not answer')")
	server.CloseClientConnections()
	server.Close()
	alert("novawire dashboard does not run any more: start it again.")
}

// What is empty says what to do.
func TestDashboard_Empty(t *testing.T) {
	for name, c := range map[string]struct {
		status dashboardStatus
		want   []string
	}{
		"a cluster in which nothing opted in": {
			dashboardStatus{clusterStatus: &clusterStatus{Namespaces: []namespaceStatus{}}},
			[]string{"No namespace has opted in: kubectl label namespace NAMESPACE nova.dev/wiring=enabled", "novawire backup audit", "Nothing. Every pod is wired", "Nothing is counted yet", "No pods run in namespaces that opted in."},
		},
		"a namespace that did not opt in": {
			dashboardStatus{Namespace: "nova", clusterStatus: &clusterStatus{Namespaces: []namespaceStatus{}}},
			[]string{"The namespace nova did not opt in: kubectl label namespace nova nova.dev/wiring=enabled"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.status.Backups, c.status.Interval = []backupCalendar{}, 1000
			p := openPage(t, &answers{status: c.status})
			p.Wait(loaded)
			text := strings.Join(strings.Fields(browser.Value[string](p, "document.body.innerText")), " ")
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing:\n%s", want, text)
				}
			}
		})
	}
}

// A large cluster is a small page: rows are made for what is open, fifty at a time.
func TestDashboard_LargeCluster(t *testing.T) {
	a := sampleAnswers(time.Now())
	status := a.status.(dashboardStatus)
	status.Namespaces = nil
	for n := range 50 {
		ns := namespaceStatus{Name: fmt.Sprintf("ns-%02d", n), Pods: podCounts{injection.PodWired: 5000}}
		for w := range 100 {
			ns.Workloads = append(ns.Workloads, workloadStatus{Kind: "Deployment", Name: fmt.Sprintf("feed-%02d", w), Pods: podCounts{injection.PodWired: 50}})
		}
		status.Namespaces = append(status.Namespaces, ns)
	}
	for range 30 {
		b := status.Backups[0]
		b.Source = fmt.Sprintf("db-%02d", len(status.Backups))
		status.Backups = append(status.Backups, b)
	}
	pods := make([]podDetail, 5000)
	for i := range pods {
		pods[i] = podDetail{Name: fmt.Sprintf("feed-%04d", i), State: injection.PodWired, Text: "wired: as asked"}
	}
	pods[4321].State = injection.PodMissing
	a.status, a.pods = status, pods
	p := openPage(t, a)
	p.Wait(loaded)
	rows := func() int { return browser.Value[int](p, "document.querySelectorAll('#wiring *').length") }
	if n := rows(); n > 50*20 {
		t.Errorf("%d elements while nothing is open", n)
	}
	browser.Value[bool](p, "document.querySelector('#ns-ns-07 button').click(), true")
	browser.Value[bool](p, "document.querySelector('#ns-ns-07 [data-action=pods]').click(), true")
	p.Wait("document.querySelectorAll('tr.pods tbody tr').length === 50")
	if first := browser.Value[string](p, "document.querySelector('tr.pods tbody th').innerText"); first != "feed-4321" {
		t.Errorf("the pod that needs attention is not the first, but %s", first)
	}
	browser.Value[bool](p, "document.querySelector('tr.pods [data-action=more]').click(), true")
	p.Wait("document.querySelectorAll('tr.pods tbody tr').length === 100")
	if n := browser.Value[int](p, "document.querySelectorAll('*').length"); n > 6500 {
		t.Errorf("%d elements with one namespace, one workload and five calendars open", n)
	}
}
