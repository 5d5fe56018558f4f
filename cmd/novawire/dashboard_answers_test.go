package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/nova/novawire/api/injection"
	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/cmd/novawire/dashboard"
	"github.com/nova/novawire/internal/telemetry"
	"github.com/nova/novawire/internal/testing/browser"
)

// answers is a cluster that says what the test sets.
type answers struct {
	mu                    sync.Mutex
	status, pods, explain any
	err                   error
}

func (a *answers) set(change func(*answers)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func (a *answers) Status(context.Context) (any, error) { return a.get(&a.status) }

func (a *answers) Pods(context.Context, dashboard.Workload) (any, error) { return a.get(&a.pods) }

func (a *answers) Explain(context.Context, dashboard.Workload) (any, error) { return a.get(&a.explain) }

func (a *answers) get(of *any) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return *of, a.err
}

// sampleAnswers are one of each: namespaces, states, backups, notes.
func sampleAnswers(now time.Time) *answers {
	s := &clusterStatus{
		Configuration: "6a3f6f3ccfda",
		Namespaces: []namespaceStatus{
			{Name: "nova", Configuration: "6a3f6f3ccfda", Pods: podCounts{injection.PodWired: 9, injection.PodMissing: 2, injection.PodStale: 1, injection.PodChanged: 1, injection.PodSkipped: 3}, Workloads: []workloadStatus{
				{Kind: "Deployment", Name: "feed", Pods: podCounts{injection.PodWired: 9, injection.PodMissing: 2, injection.PodStale: 1, injection.PodChanged: 1}, Reasons: map[string]int{"not-reviewed": 2}, Configurations: []configurationUse{{Hash: "6a3f6f3ccfda", Pods: 9}}},
				{Kind: "Rollout", Name: "node-cache", Pods: podCounts{injection.PodSkipped: 3}, Reasons: map[string]int{"host-network": 3}},
			}},
			{Name: "nova-media", Configuration: "6a3f6f3ccfda", Pods: podCounts{injection.PodWired: 4}, Workloads: []workloadStatus{{Kind: "StatefulSet", Name: "encoder", Pods: podCounts{injection.PodWired: 4}}}},
		},
		Names: []nameProblem{{Namespace: "nova", Service: "feed", Workloads: []string{"Deployment feed", "StatefulSet feed"}}},
		Notes: []string{"backups cannot be read: cronjobs is forbidden"},
	}
	failed := nightly(now, 20, []int{0, 3}, []int{6, 7}, []int{90, 30}, []int{2}, "nova_content")
	failed.Databases[0].Failure, failed.Databases[0].FailedAt, failed.Databases[0].Message = "store", &now, "no route to host"
	return &answers{
		status: dashboardStatus{
			Context: "prod", Version: "v1.2.3", Interval: 1000, ConfigurationFrom: "ConfigMap novawire-system/config", Explained: explainedKindNames(), clusterStatus: s,
			Fixes: []string{"kubectl -n nova patch deployment feed"},
			Telemetry: newShownTelemetry(telemetry.Report{Services: []telemetry.Service{
				{Service: ledgerapi.Service{Namespace: "nova", Name: "auth", Pods: 4, Signals: map[string]ledgerapi.Entry{ledgerapi.Traces: {Accepted: 5000, Exported: 5000, ExportedBytes: 1 << 20}}}, Share: 0.9},
				{Service: ledgerapi.Service{Namespace: "nova", Name: "feed", Pods: 12, GonePods: 40, UnknownRuns: 1, Signals: map[string]ledgerapi.Entry{
					ledgerapi.Traces: {Accepted: 1000, Exported: 989, Unaccounted: 1, Dropped: map[string]int64{"queue_full": 10}, ExportedBytes: 1000},
					ledgerapi.Logs:   {Accepted: 50, Exported: 50, Refused: map[string]int64{"memory": 3}},
				}}, Loss: 0.01, Share: 0.1},
			}}),
			Backups: []backupCalendar{
				newBackupCalendar(statusEntry{Namespace: "nova", StatefulSet: "auth-db", Status: nightly(now, 47, []int{120}, nil, []int{88, 12}, nil, "nova_auth")}, now),
				newBackupCalendar(statusEntry{Namespace: "nova", StatefulSet: "content-db", Status: failed}, now),
			},
		},
		pods: []podDetail{
			{Name: "feed-a", State: injection.PodWired, Text: "wired: as asked", Configuration: "6a3f6f3ccfda"},
			{Name: "feed-b", State: injection.PodMissing, Reason: "not-reviewed", Text: "missing: not reviewed"},
		},
		explain: json.RawMessage(`{"namespace":"nova","kind":"Deployment","name":"feed","configuration":"ConfigMap a/b","hash":"6a3f6f3ccfda",
			"decision":{"action":"wired","reason":"as-asked","notes":["a note"],"values":[{"container":"feed","subject":"OTEL_SERVICE_NAME","value":"feed","rule":"workload name","source":"Deployment"}]},
			"groups":[{"name":"feed-b","state":"missing","cause":"older-than-opt-in","text":"the pod is older","commands":["kubectl -n nova rollout restart deployment/feed"],"count":2},{"name":"feed-a","state":"wired","count":9}],
			"command":"novawire explain deployment/feed -n nova"}`),
	}
}

// openPage shows answers in a browser. A test that ends without expecting a problem fails
// for each error on the console and each request to another server.
func openPage(t *testing.T, a *answers) *browser.Page {
	t.Helper()
	p := browser.New(t)
	server := httptest.NewServer(dashboard.Handler(a))
	t.Cleanup(server.Close)
	p.Appear(1280, 900, false)
	p.Open(server.URL)
	t.Cleanup(func() {
		for _, problem := range p.Problems() {
			t.Error(problem)
		}
	})
	return p
}

const (
	loaded    = "document.querySelector('.tile')"
	openAll   = "document.querySelectorAll('[aria-expanded=false]').forEach(b => b.click())"
	focusText = "(document.activeElement.getAttribute('aria-label') || document.activeElement.innerText || document.activeElement.id || '').trim().replaceAll(/\\s+/g, ' ')"
)

// showEverything opens all that can be opened.
func showEverything(p *browser.Page) {
	p.Wait(loaded)
	for range 2 { // namespaces, then workloads
		browser.Value[bool](p, openAll+", true")
	}
	p.Wait("document.querySelectorAll('.list-of-pods [data-action=explain]').length > 0 && document.querySelectorAll('.telemetry tr.pods table').length > 0")
}
