package examples

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nova/novawire/internal/testing/pgtest"
	"github.com/nova/novawire/internal/testing/prerequisite"
	"github.com/nova/novawire/monitoring"
)

// TestRust_Alerts scrapes the services with a real Prometheus that has the shipped rules.
// While nothing fails, no alert fires; when Redis and content-service are away, every
// alert of the services does. The dashboard of a service has a value in each panel.
func TestRust_Alerts(t *testing.T) {
	program := prerequisite.Path(t, "NOVAWIRE_PROMETHEUS", "promtool")
	n := startNova(t, nil, nil)
	var alerts []monitoring.Alert
	groups := monitoring.Groups()
	for _, g := range groups {
		for i := range g.Alerts {
			g.Alerts[i].For = 0
		}
		if g.Name == "services" {
			alerts = g.Alerts
		}
	}
	rules, err := monitoring.RuleFile(groups)
	if err != nil || len(alerts) == 0 {
		t.Fatal(err, alerts)
	}
	p := startPrometheus(t, program, rules, map[string]*process{"user-service": n.user, "content-service": n.content})

	n.feed(t, http.StatusOK)
	pgtest.Eventually(t, "the request was scraped twice, after the zeros", patience, func() bool {
		return p.query(`count_over_time(http_server_requests_total{service="user-service"}[1h]) > 2 and http_server_requests_total > 0`) > 0
	})
	for _, a := range alerts {
		if p.firing(a.Name) {
			t.Errorf("%s fires while nothing fails", a.Name)
		}
	}

	n.redis.stop()
	n.content.end(syscall.SIGKILL)
	// More than the least traffic of six hours, the longest window.
	n.fail(t, 3000)
	for _, a := range alerts {
		pgtest.Eventually(t, a.Name+" fires", patience, func() bool { return p.firing(a.Name) })
	}
	for _, d := range monitoring.Dashboards() {
		if d.UID != "nova-service" {
			continue
		}
		for _, row := range d.Rows {
			for _, panel := range row.Panels {
				for _, q := range panel.Queries {
					expr := strings.NewReplacer("$namespace", "nova", "$service", "user-service").Replace(q.Expr)
					if p.query(expr) != p.query(expr+" >= 0") || p.query(expr) == 0 { // NaN is not above 0
						t.Errorf("the panel %q has no value: %s", panel.Title, expr)
					}
				}
			}
		}
	}
}

// fail sends requests for feeds, eight at a time, which must fail.
func (n *nova) fail(t *testing.T, count int) {
	t.Helper()
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for range count / 8 {
				if status, _, err := n.user.get("/feed/1"); err != nil || status != http.StatusServiceUnavailable {
					t.Errorf("GET /feed/1: status %d, want 503: %v", status, err)
					return
				}
			}
		})
	}
	senders.Wait()
}

// prometheus is the address of one that runs.
type prometheus struct {
	t       *testing.T
	address string
}

// startPrometheus scrapes each service each second, with the labels that Novawire's
// monitors add.
func startPrometheus(t *testing.T, program string, rules []byte, services map[string]*process) prometheus {
	t.Helper()
	dir := t.TempDir()
	configuration := "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yaml]\nscrape_configs:\n- job_name: nova-pods\n  static_configs:\n"
	for service, p := range services {
		configuration += fmt.Sprintf("  - {targets: [%q], labels: {namespace: nova, service: %s, pod: %[2]s-0}}\n", p.address, service)
	}
	for name, text := range map[string][]byte{"prometheus.yaml": []byte(configuration), "rules.yaml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := prometheus{t, freeAddress(t)}
	cmd := exec.Command(program, "--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--web.listen-address="+p.address)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pgtest.Eventually(t, "Prometheus is ready", patience, func() bool {
		response, err := http.Get("http://" + p.address + "/-/ready")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	pgtest.Eventually(t, "both services are scraped at 0", patience, func() bool { return p.query("http_server_requests_total == 0") == 2 })
	return p
}

// query returns the number of series of an expression.
func (p prometheus) query(expr string) int {
	p.t.Helper()
	response, err := http.Get("http://" + p.address + "/api/v1/query?" + url.Values{"query": {expr}}.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != "" {
		p.t.Fatalf("query %s: %v %s", expr, err, answer.Error)
	}
	return len(answer.Data.Result)
}

func (p prometheus) firing(alert string) bool {
	p.t.Helper()
	return p.query(fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, alert)) > 0
}
