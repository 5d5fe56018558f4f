package monitoring

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// notification is the part of Alertmanager's webhook message that the test checks.
type notification struct {
	Alerts []struct{ Labels, Annotations map[string]string }
}

// TestDelivery scrapes a program whose metrics are bad with a real Prometheus, and
// expects the alerts at a webhook receiver behind a real Alertmanager. The alerts do not
// wait (For is 0).
func TestDelivery(t *testing.T) {
	prometheus, alertmanager := os.Getenv("NOVAWIRE_PROMETHEUS"), os.Getenv("NOVAWIRE_ALERTMANAGER")
	if prometheus == "" || alertmanager == "" {
		message := `NOVAWIRE_PROMETHEUS is not set; run: eval "$(tools/provide promtool env)" && go test ./monitoring, or make test`
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `novawire_backup_anomalies{namespace="nova",statefulset="auth-db",database="nova_auth"} 2
novawire_backup_last_success_timestamp_seconds{namespace="nova",statefulset="auth-db",database="nova_auth"} 0
novawire_certificate_expiry_timestamp_seconds{kind="leaf"} 0
novawire_logs_failing_seconds 600
redis_timeout_total{namespace="nova",service="feed"} 1
`)
	}))
	defer program.Close()
	received := make(chan notification, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n notification
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Error(err)
		}
		received <- n
	}))
	defer receiver.Close()

	dir := t.TempDir()
	alertmanagerAddress := freeAddress(t)
	write(t, filepath.Join(dir, "alertmanager.yaml"), fmt.Appendf(nil, `route: {receiver: test, group_by: [alertname], group_wait: 1s, group_interval: 1s}
receivers: [{name: test, webhook_configs: [{url: %q}]}]
`, receiver.URL))
	groups := Groups()
	for _, g := range groups {
		for i := range g.Alerts {
			g.Alerts[i].For = 0
		}
	}
	rules, err := RuleFile(groups)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "rules.yaml"), rules)
	write(t, filepath.Join(dir, "prometheus.yaml"), fmt.Appendf(nil, `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: test, honor_labels: true, static_configs: [{targets: [%q]}]}]
`, alertmanagerAddress, strings.TrimPrefix(program.URL, "http://")))
	start(t, dir, alertmanager, "--config.file=alertmanager.yaml", "--storage.path=alertmanager", "--web.listen-address="+alertmanagerAddress, "--cluster.listen-address=")
	start(t, dir, prometheus, "--config.file=prometheus.yaml", "--storage.tsdb.path=prometheus", "--rules.alert.resend-delay=1s", "--web.listen-address="+freeAddress(t))

	// No target has the job novawire: the manager counts as deleted.
	missing := map[string]bool{}
	for _, name := range []string{"NovawireDown", "NovawireBackupAnomaly", "NovawireBackupMissed", "NovawireCertificateExpired", "NovawireLogsNotDelivered", "NovaRedisTimeouts"} {
		missing[name] = true
	}
	for timeout := time.After(time.Minute); len(missing) > 0; {
		select {
		case n := <-received:
			for _, a := range n.Alerts {
				delete(missing, a.Labels["alertname"])
				if a.Annotations["runbook_url"] == "" || a.Labels["severity"] == "" {
					t.Errorf("incomplete: %v %v", a.Labels, a.Annotations)
				}
				if a.Labels["alertname"] == "NovawireBackupAnomaly" && a.Labels["namespace"] != "nova" {
					t.Errorf("the namespace of the database is lost: %v", a.Labels)
				}
			}
		case <-timeout:
			t.Fatalf("not delivered: %v", missing)
		}
	}
}

// start runs a server until the test ends.
func start(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(program)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Wait() // the test's context has ended, and with it the process
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", program, text)
		}
	})
}

// freeAddress returns an address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
