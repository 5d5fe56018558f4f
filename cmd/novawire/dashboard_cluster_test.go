package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/internal/testing/browser"
	"github.com/nova/novawire/internal/testing/cluster"
)

// A pod that comes appears by itself, and who reads or types is not disturbed.
func TestDashboard_Refresh(t *testing.T) {
	s := newShown(t)
	s.namespace("dashboard-refresh")
	s.pods("dashboard-refresh", "feed", injection.PodWired, 12)
	p := browser.New(t)
	p.Appear(1280, 500, false)
	p.Open(s.serve("-n", "dashboard-refresh"))
	p.Wait(loaded)
	for _, selector := range []string{"#ns-dashboard-refresh button", "[data-action=pods]"} {
		browser.Value[bool](p, fmt.Sprintf("document.querySelector(%q).click(), true", selector))
	}
	rows := func(n int) {
		t.Helper()
		p.Wait(fmt.Sprintf("document.querySelectorAll('tr.pods tbody tr').length === %d", n))
	}
	rows(12)
	// Somebody has found a pod, is on its button and has selected its name.
	browser.Value[bool](p, `(() => {
		const row = document.querySelectorAll("tr.pods tbody tr")[9];
		row.querySelector("button").focus();
		window.row = row; window.button = document.activeElement; window.at = row.getBoundingClientRect().top;
		getSelection().selectAllChildren(row.querySelector("th"));
		window.selected = getSelection().toString();
		return true;
	})()`)
	hostile := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "dashboard-refresh", Name: "zz-hostile", Annotations: map[string]string{
			injection.AnnotationStatus: `{"config":"<img src=x onerror='window.ran=1'>","collector":"sidecar"}`,
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
	}
	undisturbed := func(what string) {
		t.Helper()
		got := browser.Value[map[string]any](p, `({
			focus: document.activeElement === window.button && window.button.isConnected,
			moved: Math.abs(window.row.getBoundingClientRect().top - window.at) > 1, scrolled: scrollY > 0, selection: getSelection().toString() === window.selected, ran: window.ran || 0,
		})`)
		if got["focus"] != true || got["moved"] != false || got["scrolled"] != true || got["selection"] != true || got["ran"] != 0.0 {
			t.Errorf("%s: %v", what, got)
		}
	}
	s.pods("dashboard-refresh", "feed", injection.PodStale, 1)
	rows(13)
	undisturbed("after a pod came")
	s.create(hostile)
	p.Wait("document.querySelector('#wiring').innerText.includes(\"<img src=x onerror='window.ran=1'>\")")
	undisturbed("after a workload came")
	must(t, s.client.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace("dashboard-refresh"), client.MatchingLabels{"pod-template-hash": "5d8f7c9b4" + string(injection.PodStale[0])}, client.GracePeriodSeconds(0)))
	rows(12)
	undisturbed("after a pod went")
	for _, problem := range p.Problems() {
		t.Error(problem)
	}
}

// later is how long after its pods were created the cluster of the pictures is shown.
const later = 4 * 24 * time.Hour

// fillShown creates what the pictures show.
func fillShown(s *shown) (args []string) {
	s.manager("nova-system")
	for namespace, deployments := range map[string]map[string]map[injection.PodState]int{
		"nova":          {"api-gateway": {"wired": 6}, "auth": {"wired": 4}, "content-service": {"wired": 8}, "feed": {"wired": 9, "missing": 3}, "user-service": {"wired": 5}},
		"nova-media":    {"encoder": {"wired": 12}, "thumbnails": {"wired": 6}, "node-cache": {"skipped": 3}},
		"nova-payments": {"checkout": {"wired": 4}, "ledger": {"stale": 2}},
		"nova-search":   {"indexer": {"wired": 3}, "query": {"wired": 7}},
	} {
		s.namespace(namespace)
		for name, pods := range deployments {
			for state, n := range pods {
				s.pods(namespace, name, state, n)
			}
		}
	}
	now := time.Now()
	auth := nightly(now, 47, []int{120}, nil, []int{270, 179, 88, 12}, nil, "nova_auth")
	content := nightly(now, 40, []int{31, 32}, []int{75, 76}, []int{210, 118, 27}, []int{28}, "nova_content", "nova_media")
	for _, status := range []backupapi.Status{auth, content} {
		for i := range status.Databases { // the browser's clock is ahead
			success, verified := status.Databases[i].LastSuccess.Add(later), status.Databases[i].LastVerified.Add(later)
			status.Databases[i].LastSuccess, status.Databases[i].LastVerified = &success, &verified
		}
	}
	s.backups("nova", "auth-db", auth)
	s.backups("nova", "content-db", content)
	account := map[string]map[string]ledgerapi.Entry{}
	for i, name := range []string{"nova/api-gateway", "nova/content-service", "nova/user-service", "nova-media/encoder", "nova-payments/checkout", "nova-search/query"} {
		n := int64(48_200_317 / (i + 1))
		account[name] = map[string]ledgerapi.Entry{ledgerapi.Traces: {Accepted: n, Exported: n, ExportedBytes: n * 412}, ledgerapi.Logs: {Accepted: n / 9, Exported: n / 9, ExportedBytes: n * 30}}
	}
	account["nova/feed"] = map[string]ledgerapi.Entry{ledgerapi.Traces: {Accepted: 18_004_112, Exported: 18_001_960, Dropped: map[string]int64{"queue_full": 2152}, ExportedBytes: 8_100_000_000}}
	s.telemetry("nova-system", account)
	return []string{"--system-namespace", "nova-system"}
}

// look takes pictures of the whole page, narrow and wide, with an explanation.
func look(t *testing.T, p *browser.Page, folder string) {
	shot := func(name string, width int64, dark bool) {
		p.Appear(width, 3200, dark)
		must(t, os.WriteFile(filepath.Join(folder, name+".png"), p.Screenshot(), 0o600))
	}
	browser.Value[bool](p, openAll+", scrollTo(0, 0), true")
	shot("wide", 1280, false)
	shot("wide-dark", 1280, true)
	shot("narrow", 390, false)
	browser.Value[bool](p, "scrollTo(0, document.body.scrollHeight), true")
	shot("narrow-end", 390, false)
	p.Appear(1280, 1500, false)
	browser.Value[bool](p, "document.querySelector('#backups').scrollIntoView(), document.querySelectorAll('#telemetry tbody button')[0].click(), true")
	must(t, os.WriteFile(filepath.Join(folder, "end.png"), p.Screenshot(), 0o600))
	p.Appear(1280, 900, true)
	browser.Value[bool](p, "document.querySelector('tr.pods [data-action=explain]').click(), true")
	p.Wait("document.querySelector('.why')")
	must(t, os.WriteFile(filepath.Join(folder, "explain.png"), p.Screenshot(), 0o600))
}

// The pictures of docs/dashboard.md; -update takes them. Nothing compares them with the page:
// the sums beside them say of which files of the page they are.
func TestDashboard_Pictures(t *testing.T) {
	const sums = "../../docs/dashboard/page.sha256"
	picture := func(name string) string { return filepath.Join("../../docs/dashboard", name+".png") }
	page := sumsOf(t, "dashboard/static")
	if *update {
		s := newShown(t)
		must(t, os.WriteFile(s.kubeconfig, bytes.ReplaceAll(cluster.Kubeconfig(t, cluster.Config(t)), []byte(": test"), []byte(": prod")), 0o600))
		address := s.serve(fillShown(s)...)
		p := browser.New(t)
		p.Prepare(fmt.Sprintf("{ const now = Date.now, D = Date; globalThis.Date = class extends D { constructor(...a) { a.length ? super(...a) : super(now() + %[1]d); } static now() { return now() + %[1]d; } }; }", later.Milliseconds()))
		for name, dark := range map[string]bool{"light": false, "dark": true} {
			p.Appear(1280, 1100, dark)
			p.Open(address)
			p.Wait(loaded)
			must(t, os.WriteFile(picture(name), p.Screenshot(), 0o644))
		}
		browser.Value[bool](p, "document.querySelector('#ns-nova button').click(), true")
		browser.Value[bool](p, "document.querySelector('[data-open=\"pods nova/Deployment/feed\"]').click(), document.querySelector('#wiring').scrollIntoView(), true")
		p.Wait("document.querySelector('tr.pods table')")
		p.Appear(1280, 760, false)
		must(t, os.WriteFile(picture("pods"), p.Screenshot(), 0o644))
		must(t, os.WriteFile(sums, page, 0o644))
		if folder := os.Getenv("NOVAWIRE_LOOK"); folder != "" { // all of it, for who works on the page
			look(t, p, folder)
		}
	}
	if of, err := os.ReadFile(sums); err != nil || !bytes.Equal(of, page) {
		t.Errorf("the pictures are of another page (%v): `go test ./cmd/novawire -run TestDashboard_Pictures -update` takes them anew", err)
	}
	for _, name := range []string{"light", "dark", "pods"} {
		content, err := os.ReadFile(picture(name))
		must(t, err)
		shown, err := png.DecodeConfig(bytes.NewReader(content))
		if err != nil || shown.Width != 1280 || len(content) > 150_000 {
			t.Errorf("%s: %v, %d pixels wide, %d bytes", name, err, shown.Width, len(content))
		}
	}
}

// sumsOf returns the SHA-256 of each file in a folder, as sha256sum prints them.
func sumsOf(t *testing.T, folder string) []byte {
	t.Helper()
	files, err := os.ReadDir(folder)
	must(t, err)
	var sums bytes.Buffer
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(folder, f.Name()))
		must(t, err)
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), f.Name())
	}
	return sums.Bytes()
}
