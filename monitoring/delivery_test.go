package monitoring

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// notification is the part of Alertmanager's webhook message that the test checks.
type notification struct {
	Alerts []struct{ Labels, Annotations map[string]string }
}

// bad is what a program exposes for which every alert fires. N grows by one with each scrape, and
// N000 by a thousand; NOW is the time.
const bad = `http_server_errors_total{namespace="nova",service="feed"} N000
http_server_requests_total{namespace="nova",service="feed"} N000
grpc_client_errors_total{namespace="nova",service="feed"} N000
grpc_client_requests_total{namespace="nova",service="feed"} N000
redis_timeout_total{namespace="nova",service="feed"} 1
novawire_admission_decisions_total{webhook="pod",action="failed",reason="unreadable-pod"} N
novawire_admission_duration_seconds_bucket{webhook="pod",le="0.25"} 0
novawire_admission_duration_seconds_bucket{webhook="pod",le="1"} N
novawire_admission_duration_seconds_bucket{webhook="pod",le="+Inf"} N
novawire_config_reload_failures_total N
novawire_webhook_configuration_present{kind="MutatingWebhookConfiguration"} 0
novawire_admission_probe_success 0
novawire_pods{namespace="nova",state="missing"} 1
novawire_pods{namespace="nova",state="stale"} 1
novawire_certificate_not_before_timestamp_seconds{kind="leaf"} 0
novawire_certificate_expiry_timestamp_seconds{kind="leaf"} 1
novawire_certificate_last_error_timestamp_seconds NOW
novawire_backup_anomalies{namespace="nova",statefulset="auth-db",database="nova_auth"} 2
novawire_backup_not_good{namespace="nova",statefulset="auth-db",database="nova_auth"} 1
novawire_backup_prune_refused{namespace="nova",statefulset="auth-db",database="nova_auth"} 1
novawire_backup_last_success_timestamp_seconds{namespace="nova",statefulset="auth-db",database="nova_auth"} 0
novawire_backup_last_verified_timestamp_seconds{namespace="nova",statefulset="auth-db",database="nova_auth"} 0
novawire_backup_last_copied_timestamp_seconds{namespace="nova",statefulset="auth-db",database="nova_auth"} 0
novawire_backup_failures_total{namespace="nova",statefulset="auth-db",category="store"} 1
novawire_backup_audit_timestamp_seconds 0
novawire_postgresql_unprotected{namespace="nova",kind="StatefulSet",name="orders",reason="not-requested"} 1
novawire_sidecar_dropped_total{namespace="nova",pod="a",signal="traces",reason="queue_full"} N
novawire_sidecar_refused_total{namespace="nova",pod="a",signal="traces",reason="memory"} N
novawire_sidecar_queue_bytes{namespace="nova",pod="a",signal="traces"} 90
novawire_sidecar_queue_limit_bytes{namespace="nova",pod="a",signal="traces"} 100
fluentbit_output_dropped_records_total{name="novawire.0"} N
fluentbit_input_ingestion_paused{name="tail.0"} 1
novawire_logs_rejected_total{class="pods",reason="too_old"} N
novawire_logs_retried_total{class="pods"} N
novawire_logs_failing_seconds 600
novawire_logs_input_lag_seconds 600
novawire_logs_pods_synced 0
`

// untilUnwatched is exposed by the first scrapes alone: then nobody reports backups.
const untilUnwatched = `novawire_backup_info{namespace="nova",statefulset="new-db",suspended="false"} 1
`

// TestDelivery scrapes a program whose metrics are bad with a real Prometheus, and
// expects every alert at a webhook receiver behind a real Alertmanager. The alerts do not
// wait (For is 0).
func TestDelivery(t *testing.T) {
	prometheus := prerequisite.Path(t, "NOVAWIRE_PROMETHEUS", "promtool")
	alertmanager := prerequisite.Path(t, "NOVAWIRE_ALERTMANAGER", "promtool")
	var scrapes atomic.Int64
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		text := bad
		if n < 10 {
			text += untilUnwatched
		}
		text = regexp.MustCompile(`(?m) N(0*)$`).ReplaceAllString(text, fmt.Sprintf(" %d$1", n))
		_, _ = io.WriteString(w, strings.ReplaceAll(text, "NOW", fmt.Sprint(time.Now().Unix())))
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
	for _, g := range groups {
		for _, a := range g.Alerts {
			missing[a.Name] = true
		}
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
