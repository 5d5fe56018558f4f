package monitoring

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// alertCase is the number of firing alerts of one name at a time, given some series
// in promtool's notation.
type alertCase struct {
	name     string
	alert    string
	interval string // between two samples
	series   []string
	at       string
	firing   int
}

const (
	backupInfo    = `novawire_backup_info{namespace="nova",statefulset="auth",suspended="false"} `
	suspendedInfo = `novawire_backup_info{namespace="nova",statefulset="auth",suspended="true"} `
	ofDatabase    = `{namespace="nova",statefulset="auth",database="nova_auth"} `
	ofService     = `{namespace="nova",service="feed",pod="a"} `
	fromSpans     = `{namespace="nova",service="feed",pod="a",source="spans"} `
	ofOtherPod    = `{namespace="nova",service="feed",pod="b"} `
	ofLeaf        = `{kind="leaf",instance="a"} `
	ofSidecar     = `{namespace="nova",pod="a",signal="traces"} `
	dropped       = `novawire_sidecar_dropped_total{namespace="nova",pod="a",signal="traces",reason="queue_full"} `
	refused       = `novawire_sidecar_refused_total{namespace="nova",pod="a",signal="traces",reason="memory"} `
	unprotected   = `novawire_postgresql_unprotected{namespace="nova",kind="StatefulSet",name="orders",`
	podsOf        = `novawire_pods{namespace="nova",pod="a",`
	present       = `novawire_webhook_configuration_present{kind="MutatingWebhookConfiguration",pod="a"} `
	failures      = `novawire_backup_failures_total{namespace="nova",statefulset="auth",category="store"} `
	decisions     = `novawire_admission_decisions_total{webhook="pod",action=%q,reason="x"} %s`
	bucket        = `novawire_admission_duration_seconds_bucket{webhook="pod",le=%q} %s`
)

var alertCases = []alertCase{
	// Half of ten requests per second fail from the second hour on.
	{"half of the requests fail", "NovaHTTPServerErrorsFastBurn", "1m", []string{"http_server_errors_total" + ofService + "0x60 0+300x120", "http_server_requests_total" + ofService + "0+600x180"}, "1h30m", 1},
	{"half of the requests fail, by spans alone", "NovaHTTPServerErrorsFastBurn", "1m", []string{"http_server_errors_total" + fromSpans + "0x60 0+300x120", "http_server_requests_total" + fromSpans + "0+600x180"}, "1h30m", 1},
	{"the application and spans count the same few requests", "NovaHTTPServerErrorsFastBurn", "1m", slices.Concat(fewFail(ofService, "180"), fewFail(fromSpans, "180")), "2h", 0},
	{"one pod counts itself, another by spans", "NovaHTTPServerErrorsFastBurn", "1m", slices.Concat(fewFail(ofOtherPod, "180"), fewFail(fromSpans, "180")), "2h", 1},
	{"the application's own counters end, those of spans go on", "NovaHTTPServerErrorsFastBurn", "1m", slices.Concat(fewFail(ofService, "70 stale"), fewFail(fromSpans, "180")), "1h20m", 0},
	{"the application says that nothing fails, and spans that something does", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + ofService + "0x60", "http_server_errors_total" + fromSpans + "0x20 1+1x40"}, "25m", 0},
	{"a counter of spans grows", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + fromSpans + "0x20 1x40"}, "25m", 1},
	{"a counter of spans is born at 1", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + fromSpans + "_x20 1x40"}, "25m", 1},
	{"a counter of spans is born beside an older one of the application", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + ofService + "0x60", "http_server_errors_total" + fromSpans + "_x20 1x40"}, "25m", 0},
	{"a counter of spans stays", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + fromSpans + "7x60"}, "30m", 0},
	{"calls fail, by spans alone", "NovaGRPCClientErrors", "1m", []string{"grpc_client_errors_total" + fromSpans + "0x20 1x40"}, "25m", 1},
	{"half of the calls fail, by spans alone", "NovaGRPCClientErrorsFastBurn", "1m", []string{"grpc_client_errors_total" + fromSpans + "0+300x180", "grpc_client_requests_total" + fromSpans + "0+600x180"}, "2h", 1},
	{"Redis times out, by spans alone", "NovaRedisTimeouts", "1m", []string{"redis_timeout_total" + fromSpans + "0x20 1x40"}, "25m", 1},
	{"one request of 1000 fails", "NovaHTTPServerErrorsFastBurn", "1m", []string{"http_server_errors_total" + ofService + "0+0.6x180", "http_server_requests_total" + ofService + "0+600x180"}, "2h", 0},
	{"all of few requests fail", "NovaHTTPServerErrorsFastBurn", "1m", []string{"http_server_errors_total" + ofService + "0+1x180", "http_server_requests_total" + ofService + "0+1x180"}, "2h", 0},
	{"the short window has recovered", "NovaHTTPServerErrorsFastBurn", "1m", []string{"http_server_errors_total" + ofService + "0+300x60 18000x120", "http_server_requests_total" + ofService + "0+600x180"}, "1h10m", 0},
	{"one percent of the requests fails for hours", "NovaHTTPServerErrorsSlowBurn", "1m", []string{"http_server_errors_total" + ofService + "0+6x500", "http_server_requests_total" + ofService + "0+600x500"}, "7h", 1},
	{"one request of 1000 fails", "NovaHTTPServerErrorsSlowBurn", "1m", []string{"http_server_errors_total" + ofService + "0+0.6x500", "http_server_requests_total" + ofService + "0+600x500"}, "7h", 0},
	{"half of the calls fail", "NovaGRPCClientErrorsFastBurn", "1m", []string{"grpc_client_errors_total" + ofService + "0+300x180", "grpc_client_requests_total" + ofService + "0+600x180"}, "2h", 1},
	{"no call fails", "NovaGRPCClientErrorsFastBurn", "1m", []string{"grpc_client_errors_total" + ofService + "0x180", "grpc_client_requests_total" + ofService + "0+600x180"}, "2h", 0},
	{"one percent of the calls fails for hours", "NovaGRPCClientErrorsSlowBurn", "1m", []string{"grpc_client_errors_total" + ofService + "0+6x500", "grpc_client_requests_total" + ofService + "0+600x500"}, "7h", 1},
	{"no call fails", "NovaGRPCClientErrorsSlowBurn", "1m", []string{"grpc_client_errors_total" + ofService + "0x500", "grpc_client_requests_total" + ofService + "0+600x500"}, "7h", 0},
	{"a counter grows from 0", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + ofService + "0x20 1x40"}, "25m", 1},
	{"a counter is born at 1", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + ofService + "_x20 1x40"}, "25m", 1},
	{"a counter stays", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + ofService + "7x60"}, "30m", 0},
	{"a birth is old", "NovaHTTPServerErrors", "1m", []string{"http_server_errors_total" + ofService + "_x20 1x40"}, "40m", 0},
	{"a counter is born at 1", "NovaGRPCClientErrors", "1m", []string{"grpc_client_errors_total" + ofService + "_x20 1x40"}, "25m", 1},
	{"a counter stays", "NovaGRPCClientErrors", "1m", []string{"grpc_client_errors_total" + ofService + "7x60"}, "30m", 0},
	{"a counter is born at 1", "NovaRedisTimeouts", "1m", []string{"redis_timeout_total" + ofService + "_x20 1x40"}, "25m", 1},
	{"a counter stays", "NovaRedisTimeouts", "1m", []string{"redis_timeout_total" + ofService + "7x60"}, "30m", 0},

	{"the Deployment is deleted", "NovawireDown", "1m", []string{`up{job="novawire",instance="a"} 1x10 _x20`}, "25m", 1},
	{"no replica answers", "NovawireDown", "1m", []string{`up{job="novawire",instance="a"} 1x10 0x20`}, "25m", 1},
	{"one replica answers", "NovawireDown", "1m", []string{`up{job="novawire",instance="a"} 0x30`, `up{job="novawire",instance="b"} 1x30`}, "25m", 0},
	{"a configuration is deleted", "NovawireWebhookConfigurationMissing", "15s", []string{present + "1x20 0x20"}, "6m", 1},
	{"both configurations exist", "NovawireWebhookConfigurationMissing", "15s", []string{present + "1x40"}, "6m", 0},
	{"the leader was another replica", "NovawireWebhookConfigurationMissing", "15s", []string{present + "0x4 _x40", `novawire_webhook_configuration_present{kind="MutatingWebhookConfiguration",pod="b"} _x10 1x40`}, "8m", 0},
	{"no synthetic pod is wired", "NovawireAdmissionProbeFails", "1m", []string{`novawire_admission_probe_success{pod="a"} 1x5 0x20`}, "15m", 1},
	{"one synthetic pod is not wired", "NovawireAdmissionProbeFails", "1m", []string{`novawire_admission_probe_success{pod="a"} 1x5 0x2 1x20`}, "15m", 0},
	{"there is no probe", "NovawireAdmissionProbeFails", "1m", nil, "15m", 0},
	{"pods were missed, others changed", "NovawirePodsNotWired", "1m", []string{podsOf + `state="missing"} 3x30`, podsOf + `state="changed"} 1x30`, podsOf + `state="wired"} 9x30`}, "20m", 1},
	{"all pods are wired or skipped", "NovawirePodsNotWired", "1m", []string{podsOf + `state="missing"} 0x30`, podsOf + `state="wired"} 9x30`, podsOf + `state="skipped"} 9x30`}, "20m", 0},
	{"a pod is replaced soon", "NovawirePodsNotWired", "1m", []string{podsOf + `state="missing"} 1x5 0x30`}, "20m", 0},
	{"pods are stale for two days", "NovawirePodsStale", "10m", []string{podsOf + `state="stale"} 3x300`}, "30h", 1},
	{"a roll-out takes a morning", "NovawirePodsStale", "10m", []string{podsOf + `state="stale"} 3x24 0x300`}, "30h", 0},
	{"one review of 20 fails", "NovawireFailOpen", "1m", []string{fmt.Sprintf(decisions, "failed", "0+1x30"), fmt.Sprintf(decisions, "wired", "0+19x30")}, "20m", 1},
	{"no review fails", "NovawireFailOpen", "1m", []string{fmt.Sprintf(decisions, "failed", "0x30"), fmt.Sprintf(decisions, "wired", "0+19x30")}, "20m", 0},
	{"reviews take half a second", "NovawireAdmissionSlow", "1m", []string{fmt.Sprintf(bucket, "0.25", "0x30"), fmt.Sprintf(bucket, "1", "0+10x30"), fmt.Sprintf(bucket, "+Inf", "0+10x30")}, "20m", 1},
	{"reviews take a millisecond", "NovawireAdmissionSlow", "1m", []string{fmt.Sprintf(bucket, "0.001", "0+10x30"), fmt.Sprintf(bucket, "+Inf", "0+10x30")}, "20m", 0},
	{"a reload fails", "NovawireConfigReloadFailed", "1m", []string{"novawire_config_reload_failures_total 0x10 1x30"}, "15m", 1},
	{"no reload fails", "NovawireConfigReloadFailed", "1m", []string{"novawire_config_reload_failures_total 3x40"}, "30m", 0},

	{"the last quarter of an hour has begun", "NovawireCertificateNotRenewed", "1m", []string{"novawire_certificate_not_before_timestamp_seconds" + ofLeaf + "0x100", "novawire_certificate_expiry_timestamp_seconds" + ofLeaf + "3600x100"}, "56m", 1},
	{"the last third has begun", "NovawireCertificateNotRenewed", "1m", []string{"novawire_certificate_not_before_timestamp_seconds" + ofLeaf + "0x100", "novawire_certificate_expiry_timestamp_seconds" + ofLeaf + "3600x100"}, "44m", 0},
	{"a leaf has expired", "NovawireCertificateExpired", "1m", []string{"novawire_certificate_expiry_timestamp_seconds" + ofLeaf + "3600x100"}, "61m", 1},
	{"a leaf is valid", "NovawireCertificateExpired", "1m", []string{"novawire_certificate_expiry_timestamp_seconds" + ofLeaf + "3600x100"}, "60m", 0},
	{"rotation fails all the time", "NovawireCertificateRotationFails", "1m", []string{`novawire_certificate_last_error_timestamp_seconds{instance="a"} 0+60x100`}, "31m", 1},
	{"rotation failed once", "NovawireCertificateRotationFails", "1m", []string{`novawire_certificate_last_error_timestamp_seconds{instance="a"} 60x100`}, "40m", 0},

	{"the last backup is 26 hours old", "NovawireBackupMissed", "5m", []string{"novawire_backup_last_success_timestamp_seconds" + ofDatabase + "0x400", backupInfo + "1x400"}, "26h10m", 1},
	{"the last backup is 25 hours old", "NovawireBackupMissed", "5m", []string{"novawire_backup_last_success_timestamp_seconds" + ofDatabase + "0x400", backupInfo + "1x400"}, "25h", 0},
	{"backup is suspended", "NovawireBackupMissed", "5m", []string{"novawire_backup_last_success_timestamp_seconds" + ofDatabase + "0x400", suspendedInfo + "1x400"}, "30h", 0},
	{"another replica has a newer backup", "NovawireBackupMissed", "5m", []string{
		`novawire_backup_last_success_timestamp_seconds{namespace="nova",statefulset="auth",database="nova_auth",instance="a"} 0x400`,
		`novawire_backup_last_success_timestamp_seconds{namespace="nova",statefulset="auth",database="nova_auth",instance="b"} 0+300x400`,
	}, "30h", 0},
	{"no run has succeeded for a day", "NovawireBackupNever", "5m", []string{backupInfo + "1x400"}, "27h", 1},
	{"a new StatefulSet waits for its first night", "NovawireBackupNever", "5m", []string{backupInfo + "1x400"}, "25h", 0},
	{"the last drill is 101 days old", "NovawireBackupNotVerified", "5m", []string{"novawire_backup_last_verified_timestamp_seconds" + ofDatabase + "-8640000x360"}, "25h", 1},
	{"the last drill is 99 days old", "NovawireBackupNotVerified", "5m", []string{"novawire_backup_last_verified_timestamp_seconds" + ofDatabase + "-8467200x360"}, "24h", 0},
	{"a first failure creates the series", "NovawireBackupFailed", "5m", []string{failures + "_x120 1x300"}, "11h", 1},
	{"a fourth failure", "NovawireBackupFailed", "5m", []string{failures + "3x120 4x300"}, "11h", 1},
	{"the last failure is old", "NovawireBackupFailed", "5m", []string{failures + "3x120 4x300"}, "20h", 0},
	{"the newest copy is 30 hours old", "NovawireBackupNotCopied", "5m", []string{backupInfo + "1x400", "novawire_backup_last_copied_timestamp_seconds" + ofDatabase + "0x400"}, "30h", 1},
	{"a new copy was made", "NovawireBackupNotCopied", "5m", []string{backupInfo + "1x400", "novawire_backup_last_copied_timestamp_seconds" + ofDatabase + "0x200 60000x200"}, "30h", 0},
	{"there is no second store", "NovawireBackupNotCopied", "5m", []string{backupInfo + "1x400"}, "30h", 0},
	{"a suspended database is not copied", "NovawireBackupNotCopied", "5m", []string{suspendedInfo + "1x400", "novawire_backup_last_copied_timestamp_seconds" + ofDatabase + "0x400"}, "30h", 0},
	{"two tables disappeared", "NovawireBackupAnomaly", "5m", []string{"novawire_backup_anomalies" + ofDatabase + "0x10 2x20"}, "2h", 1},
	{"a backup is damaged", "NovawireBackupNotGood", "5m", []string{"novawire_backup_not_good" + ofDatabase + "0x10 1x20"}, "2h", 1},
	{"every backup is good", "NovawireBackupNotGood", "5m", []string{"novawire_backup_not_good" + ofDatabase + "0x30"}, "2h", 0},
	{"a run refused to prune", "NovawireBackupPruneRefused", "5m", []string{"novawire_backup_prune_refused" + ofDatabase + "0x10 1x20"}, "2h", 1},
	{"the next run has pruned", "NovawireBackupPruneRefused", "5m", []string{"novawire_backup_prune_refused" + ofDatabase + "1x10 0x20"}, "2h", 0},
	{"no table disappeared", "NovawireBackupAnomaly", "5m", []string{"novawire_backup_anomalies" + ofDatabase + "0x30"}, "2h", 0},
	{"a database has no backup", "NovawirePostgreSQLUnprotected", "5m", []string{unprotected + `reason="not-requested"} 1x24`}, "1h10m", 1},
	{"a backup was suspended", "NovawirePostgreSQLUnprotected", "5m", []string{unprotected + `reason=""} 0x12 _x30`, unprotected + `reason="suspended"} _x12 1x30`}, "2h10m", 1},
	{"the reason changes", "NovawirePostgreSQLUnprotected", "5m", []string{
		unprotected + `reason="suspended"} 1x8 _x40`, unprotected + `reason="namespace-refuses"} _x8 1x8 _x40`, unprotected + `reason="not-requested"} _x16 1x40`,
	}, "1h40m", 1},
	{"the Secret of a database outside was deleted", "NovawirePostgreSQLUnprotected", "5m", []string{
		`novawire_postgresql_unprotected{namespace="nova",kind="Secret",name="rds",reason=""} 0x12 _x30`, `novawire_postgresql_unprotected{namespace="nova",kind="Secret",name="rds",reason="suspended"} _x12 1x30`,
	}, "2h10m", 1},
	{"a new database has no backup yet", "NovawirePostgreSQLUnprotected", "5m", []string{unprotected + `reason="no-backup-yet"} 1x24`}, "1h10m", 0},
	{"a database without backup has a reason", "NovawirePostgreSQLUnprotected", "5m", []string{unprotected + `reason="not-requested"} 1x24 _x100`, unprotected + `reason="exempt"} _x24 0x100`}, "3h", 0},
	{"the audit fails", "NovawireBackupAuditStale", "5m", []string{"novawire_backup_audit_timestamp_seconds 0+300x20 6000x20"}, "2h30m", 1},
	{"the audit runs", "NovawireBackupAuditStale", "5m", []string{"novawire_backup_audit_timestamp_seconds 0+300x40"}, "2h30m", 0},
	{"nobody reports backups", "NovawireBackupUnwatched", "5m", []string{backupInfo + "1x12"}, "1h50m", 1},
	{"a replica reports backups", "NovawireBackupUnwatched", "5m", []string{backupInfo + "1x40"}, "1h50m", 0},
	{"nobody has ever reported backups", "NovawireBackupUnwatched", "5m", []string{"x 1x40"}, "1h50m", 0},

	{"spans are dropped", "NovawireSidecarDropped", "1m", []string{dropped + "0x10 0+5x20"}, "20m", 1},
	{"no span is dropped", "NovawireSidecarDropped", "1m", []string{dropped + "5x30"}, "20m", 0},
	{"spans are refused", "NovawireSidecarRefused", "1m", []string{refused + "0x10 0+5x20"}, "20m", 1},
	{"no span is refused", "NovawireSidecarRefused", "1m", []string{refused + "5x30"}, "20m", 0},
	{"the queue is full", "NovawireSidecarQueueFilling", "1m", []string{"novawire_sidecar_queue_bytes" + ofSidecar + "90x30", "novawire_sidecar_queue_limit_bytes" + ofSidecar + "100x30"}, "20m", 1},
	{"the queue is half full", "NovawireSidecarQueueFilling", "1m", []string{"novawire_sidecar_queue_bytes" + ofSidecar + "50x30", "novawire_sidecar_queue_limit_bytes" + ofSidecar + "100x30"}, "20m", 0},

	{"records are dropped", "NovawireLogsDropped", "1m", []string{`fluentbit_output_dropped_records_total{instance="a",name="novawire.0"} 0x10 0+5x20`}, "21m", 1},
	{"no record is dropped", "NovawireLogsDropped", "1m", []string{`fluentbit_output_dropped_records_total{instance="a",name="novawire.0"} 5x30`}, "21m", 0},
	{"events are rejected", "NovawireLogsRejected", "1m", []string{`novawire_logs_rejected_total{instance="a",class="pods",reason="too_old"} 0x10 0+1x20`}, "21m", 1},
	{"no event is rejected", "NovawireLogsRejected", "1m", []string{`novawire_logs_rejected_total{instance="a",class="pods",reason="too_old"} 1x30`}, "21m", 0},
	{"requests fail for nine minutes", "NovawireLogsNotDelivered", "1m", []string{`novawire_logs_failing_seconds{instance="a"} 0x10 0+60x20`}, "20m", 1},
	{"requests fail for four minutes", "NovawireLogsNotDelivered", "1m", []string{`novawire_logs_failing_seconds{instance="a"} 0x10 0+60x20`}, "15m", 0},
	{"requests are retried for 35 minutes", "NovawireLogsRetried", "1m", []string{`novawire_logs_retried_total{instance="a",class="pods"} 0x10 0+5x60`}, "45m", 1},
	{"requests are retried for 10 minutes", "NovawireLogsRetried", "1m", []string{`novawire_logs_retried_total{instance="a",class="pods"} 0x10 0+5x10 50x60`}, "45m", 0},
	{"the input is paused", "NovawireLogsInputPaused", "1m", []string{`fluentbit_input_ingestion_paused{instance="a",name="tail.0"} 0x10 1x20`}, "15m", 1},
	{"the input runs", "NovawireLogsInputPaused", "1m", []string{`fluentbit_input_ingestion_paused{instance="a",name="tail.0"} 0x30`}, "15m", 0},
	{"lines are read late", "NovawireLogsInputBehind", "1m", []string{`novawire_logs_input_lag_seconds{instance="a"} 2x10 600x20`}, "17m", 1},
	{"lines are read in time", "NovawireLogsInputBehind", "1m", []string{`novawire_logs_input_lag_seconds{instance="a"} 2x30`}, "17m", 0},
	{"the API server does not answer the agent", "NovawireLogsPodsUnknown", "1m", []string{`novawire_logs_pods_synced{instance="a"} 1x10 0x20`}, "22m", 1},
	{"files of a pod are undecided", "NovawireLogsPodsUnknown", "1m", []string{`novawire_logs_files{instance="a",state="undecided"} 0x10 2x20`}, "22m", 1},
	{"the agent knows all pods", "NovawireLogsPodsUnknown", "1m", []string{`novawire_logs_pods_synced{instance="a"} 1x30`, `novawire_logs_files{instance="a",state="undecided"} 0x30`}, "22m", 0},
}

// fewFail is a service whose few requests all fail: alone they are below the traffic that an
// alert needs, and twice they are above it.
func fewFail(of, values string) []string {
	return []string{"http_server_errors_total" + of + "0+3.6x" + values, "http_server_requests_total" + of + "0+3.6x" + values}
}

// TestAlerts runs the cases with Prometheus' own rule engine. Each alert has a case in
// which it fires and one in which it does not.
func TestAlerts(t *testing.T) {
	promtool := prerequisite.Path(t, "NOVAWIRE_PROMTOOL", "promtool")
	dir := t.TempDir()
	rules, err := RuleFile(Groups())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "rules.yaml"), rules)
	if out, err := exec.Command(promtool, "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(dir, "rules.yaml")).CombinedOutput(); err != nil {
		t.Fatalf("promtool check rules: %v\n%s", err, out)
	}
	for _, g := range Groups() {
		for _, a := range g.Alerts { // a rule file for each alert: the cases are faster
			one, err := RuleFile([]Group{{Name: g.Name, Alerts: []Alert{a}}})
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, a.Name+".yaml"), one)
		}
	}
	for i, c := range alertCases {
		t.Run(c.alert+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, fmt.Sprintf("case%d.yaml", i))
			write(t, file, c.file(t))
			if out, err := exec.Command(promtool, "test", "rules", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// file returns the case as promtool reads it. ALERTS is the series that Prometheus
// writes for each alert.
func (c alertCase) file(t *testing.T) []byte {
	t.Helper()
	var series []map[string]string
	for _, s := range c.series {
		i := strings.Index(s, "} ") + 1
		if i == 0 {
			i = strings.IndexByte(s, ' ')
		}
		series = append(series, map[string]string{"series": s[:i], "values": strings.TrimSpace(s[i:])})
	}
	text, err := yaml.Marshal(map[string]any{
		"rule_files": []string{c.alert + ".yaml"}, "evaluation_interval": c.interval,
		"tests": []any{map[string]any{
			"interval": c.interval, "input_series": series,
			"promql_expr_test": []any{map[string]any{
				"expr":        fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"}) or vector(0)`, c.alert),
				"eval_time":   c.at,
				"exp_samples": []any{map[string]any{"labels": "{}", "value": c.firing}},
			}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGroups(t *testing.T) {
	t.Run("each alert has a case that fires and one that does not", func(t *testing.T) {
		fires, silent := map[string]bool{}, map[string]bool{}
		for _, c := range alertCases {
			fires[c.alert] = fires[c.alert] || c.firing > 0
			silent[c.alert] = silent[c.alert] || c.firing == 0
		}
		for _, g := range Groups() {
			for _, a := range g.Alerts {
				if !fires[a.Name] || !silent[a.Name] {
					t.Errorf("%s: fires in a case: %t, silent in a case: %t", a.Name, fires[a.Name], silent[a.Name])
				}
			}
		}
	})

	t.Run("each alert has a text, a severity and three commands", func(t *testing.T) {
		for _, g := range Groups() {
			for _, a := range g.Alerts {
				if a.Summary == "" || a.Description == "" || a.Meaning == "" || a.Cause == "" || len(a.Commands) != 3 || a.Severity != Critical && a.Severity != Warning {
					t.Errorf("%s is incomplete", a.Name)
				}
			}
		}
	})

	t.Run("each metric of Novawire is documented", func(t *testing.T) {
		pages, err := filepath.Glob("../docs/*.md")
		if err != nil {
			t.Fatal(err)
		}
		var docs strings.Builder
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			docs.Write(text)
		}
		for name, expr := range expressions() {
			for _, metric := range regexp.MustCompile(`novawire_[a-z_]+`).FindAllString(expr, -1) {
				if !strings.Contains(docs.String(), strings.TrimSuffix(metric, "_bucket")) {
					t.Errorf("%s: no page in docs has the metric %s", name, metric)
				}
			}
		}
	})
}

// expressions returns the expressions of all alerts and dashboards by their names.
func expressions() map[string]string {
	all := map[string]string{}
	for _, g := range Groups() {
		for _, a := range g.Alerts {
			all[a.Name] = a.Expr
		}
	}
	for _, d := range Dashboards() {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				for i, q := range p.Queries {
					all[fmt.Sprintf("%s: %s %d", d.UID, p.Title, i)] = q.Expr
				}
			}
		}
	}
	return all
}

// TestDashboards_Loss has items that nobody knows of among those that are lost, as
// novawire telemetry has them.
func TestDashboards_Loss(t *testing.T) {
	promtool := prerequisite.Path(t, "NOVAWIRE_PROMTOOL", "promtool")
	of := func(metric, labels, value string) map[string]string {
		return map[string]string{"series": metric + `{namespace="nova",service="feed",signal="logs"` + labels + `}`, "values": value}
	}
	text, err := yaml.Marshal(map[string]any{"tests": []any{map[string]any{
		"input_series": []any{
			of("novawire_telemetry_items_total", `,outcome="accepted"`, "100"), of("novawire_telemetry_items_total", `,outcome="dropped"`, "5"),
			of("novawire_telemetry_unaccounted_items", "", "20"),
		},
		"promql_expr_test": []any{map[string]any{
			"expr":        expressions()["novawire-telemetry: Loss since the account began, by service 0"],
			"eval_time":   "0s",
			"exp_samples": []any{map[string]any{"labels": `{namespace="nova", service="feed"}`, "value": 0.25}},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "loss.yaml")
	write(t, file, text)
	if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDashboards has Prometheus' parser read every expression of the dashboards.
func TestDashboards(t *testing.T) {
	promtool := prerequisite.Path(t, "NOVAWIRE_PROMTOOL", "promtool")
	var rules []map[string]string
	for _, expr := range expressions() {
		rules = append(rules, map[string]string{"record": fmt.Sprintf("x%d", len(rules)), "expr": expr})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboards", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboards.yaml")
	write(t, file, text)
	if out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
