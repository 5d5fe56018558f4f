package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/internal/telemetry"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestTelemetry(t *testing.T) {
	config := cluster.Config(t)
	c, err := client.New(config, client.Options{})
	must(t, err)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, cluster.Kubeconfig(t, config), 0o600))
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "telemetry-system"}}
	must(t, c.Create(t.Context(), system))
	show := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if err := run(t.Context(), append([]string{"telemetry", "--kubeconfig", file, "--system-namespace", system.Name}, args...), nil, &out, &errs); err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		return out.String()
	}
	if got := show(); !strings.HasPrefix(got, "nothing is counted: ") {
		t.Errorf("without an account: %s", got)
	}

	accounts := [ledgerapi.Shards]ledgerapi.Account{}
	add := func(uid, namespace, service string, gone bool, signal string, e ledgerapi.Entry) {
		a := &accounts[ledgerapi.ShardOf(uid)]
		a.Pod(uid, namespace, service).Saw(1, ledgerapi.Message{Ledger: map[string]ledgerapi.Entry{signal: e}})
		if gone {
			a.Close(uid, time.Now())
		}
	}
	for i, uid := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		add(uid, "nova", "feed", i%2 == 0, ledgerapi.Traces, ledgerapi.Entry{Accepted: 1000, Exported: 990, ExportedBytes: 1 << 20, Dropped: map[string]int64{"queue_full": 10}})
	}
	add("i", "nova", "feed", false, ledgerapi.Logs, ledgerapi.Entry{Accepted: 50, Exported: 40, ExportedBytes: 1000, Refused: map[string]int64{"memory": 3}, Redacted: map[string]int64{"email": 6}})
	add("j", "shop", "cart", true, ledgerapi.Metrics, ledgerapi.Entry{Accepted: 7, Exported: 5, ExportedBytes: 1 << 20})
	for i := range accounts {
		data, err := accounts[i].Encode()
		must(t, err)
		must(t, c.Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: system.Name, Name: ledgerapi.ShardName(i)}, BinaryData: map[string][]byte{ledgerapi.Key: data},
		}))
	}

	for args, want := range map[string]string{
		"": `
NAMESPACE  SERVICE  PODS  GONE  SPANS  POINTS  RECORDS  DELIVERED  LOST  LOSS    REFUSED  REDACTED  STORED  UNKNOWN  BYTES    SHARE
nova       feed     5     4     8000   0       50       7960       80    0.99%   3        6         0       4        8.0 MiB  88.89%
shop       cart     0     1     0      7       0        5          2     28.57%  0        0         0       1        1.0 MiB  11.11%
`,
		"nova": `
SERVICE  SIGNAL  ACCEPTED  DELIVERED  DROPPED  UNACCOUNTED  STORED  REFUSED  BYTES    REASONS
feed     traces  8000      7920       80       0            0       0        8.0 MiB  dropped: queue_full (80)
feed     logs    50        40         0        0            0       3        1000 B   refused: memory (3), redacted: email (6)
`,
		"shop": `
SERVICE  SIGNAL   ACCEPTED  DELIVERED  DROPPED  UNACCOUNTED  STORED  REFUSED  BYTES    REASONS
cart     metrics  7         5          0        2            0       0        1.0 MiB  -
`,
	} {
		if diff := cmp.Diff(want[1:], show(strings.Fields(args)...)); diff != "" {
			t.Errorf("telemetry %s (-want +got):\n%s", args, diff)
		}
	}
	var report telemetry.Report
	must(t, json.Unmarshal([]byte(show("shop", "--price-per-gb", "1000", "-o", "json")), &report))
	if len(report.Services) != 1 || report.Services[0].Cost < 1 || report.Services[0].Signals[ledgerapi.Metrics].Unaccounted != 2 {
		t.Errorf("as JSON: %+v", report)
	}
	if text := show("-o", "yaml"); !strings.Contains(text, "service: cart") {
		t.Errorf("as YAML: %s", text)
	}
	if text := show("--price-per-gb", "1000"); !strings.Contains(text, "COST") || !strings.Contains(text, "1.05") {
		t.Errorf("with a price: %s", text)
	}
}
