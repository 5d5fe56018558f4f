package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/smithy-go/encoding/cbor"

	backupapi "github.com/nova/novawire/api/backup"
)

// fakeCloudWatch takes PutMetricData as the SDK sends it: Smithy RPC v2 in CBOR,
// gzipped when it is long.
type fakeCloudWatch struct {
	mu    sync.Mutex
	names []string
}

func (f *fakeCloudWatch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	content, _ := io.ReadAll(body)
	w.Header().Set("smithy-protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	value, err := cbor.Decode(content)
	request, ok := value.(cbor.Map)
	if err != nil || !ok || !strings.HasSuffix(r.URL.Path, "/operation/PutMetricData") || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	data, _ := request["MetricData"].(cbor.List)
	for _, d := range data {
		name, _ := d.(cbor.Map)["MetricName"].(cbor.String)
		f.names = append(f.names, string(name))
	}
	_, _ = w.Write(cbor.Encode(cbor.Map{}))
}

func TestReport_CloudWatch(t *testing.T) {
	cloudwatch := &fakeCloudWatch{}
	server := httptest.NewServer(cloudwatch)
	defer server.Close()
	b := newEnvironment(t).with("AWS_ENDPOINT_URL_CLOUDWATCH", server.URL)
	databases := make([]string, 12) // long enough that the request is gzipped
	for i := range databases {
		databases[i] = b.pg.Database(t)
	}
	o := b.must("run", "--databases", strings.Join(databases, ","))
	for _, name := range []string{"BackupSuccess", "BackupDuration", "BackupBytes", "BackupAge"} {
		if got := count(cloudwatch.names, name); got != len(databases) {
			t.Errorf("%s came %d times of %d", name, got, len(databases))
		}
	}
	if strings.Contains(o.stdout, "_aws") {
		t.Error("metrics that were sent were written too")
	}
	b.must("drill", "--database", databases[0])
	b.fails(backupapi.CategorySource, "run", "--databases", "no_such_database")
	if count(cloudwatch.names, "DrillSuccess") != 1 || count(cloudwatch.names, "BackupFailure") != 1 {
		t.Errorf("got %v", cloudwatch.names)
	}
}

func TestReport_CloudWatch_Unreachable(t *testing.T) {
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer refuse.Close()
	b := newEnvironment(t)
	database := b.pg.Database(t, social...)
	for name, endpoint := range map[string]string{"refused": refuse.URL, "unreachable": "http://127.0.0.1:1", "another store's keys": ""} {
		t.Run(name, func(t *testing.T) {
			o := b.with("AWS_ENDPOINT_URL_CLOUDWATCH", endpoint).must("run", "--databases", database)
			var line struct {
				AWS struct {
					CloudWatchMetrics []struct {
						Namespace  string
						Dimensions [][]string
						Metrics    []struct{ Name, Unit string }
					}
				} `json:"_aws"`
				Database      string
				BackupSuccess float64
			}
			if err := json.Unmarshal([]byte(strings.SplitN(o.stdout, "\n", 2)[0]), &line); err != nil {
				t.Fatalf("%v: %s", err, o.stdout)
			}
			if line.Database != database || line.BackupSuccess != 1 || len(line.AWS.CloudWatchMetrics) != 1 || line.AWS.CloudWatchMetrics[0].Namespace != "Nova/Backup" {
				t.Errorf("got %+v", line)
			}
		})
	}
	if o := b.with("CLOUDWATCH_NAMESPACE", "none").must("run", "--databases", database); strings.Contains(o.stdout, "_aws") {
		t.Error("metrics were written although they are off")
	}
}

func TestReport_OTLP(t *testing.T) {
	var mu sync.Mutex
	received := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		received[r.URL.Path] = string(body)
		if r.Header.Get("X-Token") != "a b" {
			received["header"] = "missing"
		}
	}))
	defer server.Close()
	b := newEnvironment(t).with("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL, "OTEL_EXPORTER_OTLP_HEADERS", "x-token=a%20b", "OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name=nova")
	b.must("run", "--databases", b.pg.Database(t, social...))
	var traces struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct{ TraceID, SpanID, ParentSpanID, Name string }
			}
		}
	}
	if err := json.Unmarshal([]byte(received["/v1/traces"]), &traces); err != nil {
		t.Fatal(err)
	}
	spans := traces.ResourceSpans[0].ScopeSpans[0].Spans
	ids, names := map[string]bool{"": true}, []string{}
	for _, s := range spans {
		ids[s.SpanID] = true
		names = append(names, s.Name)
	}
	for _, s := range spans {
		if len(s.TraceID) != 32 || !ids[s.ParentSpanID] || s.TraceID != spans[0].TraceID {
			t.Errorf("span %+v belongs nowhere", s)
		}
	}
	for _, name := range []string{"pg-backup run", "back up database", "store stream", "commit"} {
		if !slices.Contains(names, name) {
			t.Errorf("no span %q in %v", name, names)
		}
	}
	if !strings.Contains(received["/v1/metrics"], `"pg_backup.success"`) || !strings.Contains(received["/v1/metrics"], "k8s.namespace.name") || received["header"] != "" {
		t.Errorf("metrics: %s; header %s", received["/v1/metrics"], received["header"])
	}
	server.Close()
	b.must("run", "--databases", b.pg.Database(t)) // telemetry that fails, fails nothing
}

func TestProgress_WithoutTerminal(t *testing.T) {
	b := newEnvironment(t)
	var log lockedBuffer
	s := &session{program: program{now: b.now, stderr: &log, terminal: &log}}
	s.log = settings{values: map[string]string{backupapi.EnvLogLevel: "info"}}.logger(s.program)
	s.logProgress(pace{database: "nova_auth", moved: 50 << 20, estimate: 100 << 20, rate: 1 << 20})
	for _, want := range []string{`"bytes":52428800`, `"bytes_per_second":1048576`, `"share":"50%"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, log.String())
		}
	}
	s.drawBar(pace{database: "nova_auth", moved: 50 << 20, estimate: 100 << 20, rate: 1 << 20})
	if !strings.Contains(log.String(), "[===============               ]  50% 50.0 MiB, 1.0 MiB/s") {
		t.Errorf("bar: %q", log.String())
	}
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func TestReport_Restore(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, social...)
	b.must("run", "--databases", source)
	target := source + "_told"
	made := b.must("restore", "--database", source, "--to", target).result.Databases
	if len(made) != 1 || made[0].Name != target || made[0].Backup == "" || made[0].Rows == 0 {
		t.Errorf("reported: %+v", made)
	}
	refused := b.fails(backupapi.CategoryRefused, "restore", "--database", source, "--to", target).result.Databases
	if len(refused) != 1 || refused[0].Category != backupapi.CategoryRefused || refused[0].Message == "" {
		t.Errorf("reported: %+v", refused)
	}
	b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
}
