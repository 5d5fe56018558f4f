package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/testing/cluster"
	"github.com/nova/novawire/internal/testing/prerequisite"
	"github.com/nova/novawire/smoke"
)

// machineAddress returns an address of this machine that the API server's proxy takes:
// it refuses loopback addresses.
func machineAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	prerequisite.Skip(t, "this machine has only loopback addresses, which the API server's proxy refuses")
	return ""
}

// TestSmoke runs the command against pods of a real API server, whose proxy passes the
// requests on. There is no kubelet, so logs are left out.
func TestSmoke(t *testing.T) {
	config := cluster.Config(t)
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, cluster.Kubeconfig(t, config), 0o600); err != nil {
		t.Fatal(err)
	}
	var ready atomic.Int32
	ready.Store(http.StatusOK)
	host := machineAddress(t)
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	app := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stats": // not the default path
			fmt.Fprint(w, "http_server_errors_total 0\ngrpc_client_errors_total 0\nredis_timeout_total 0\n")
		case "/live":
		case "/ready":
			w.WriteHeader(int(ready.Load()))
		default:
			http.NotFound(w, r)
		}
	})}}
	app.Start()
	t.Cleanup(app.Close)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "smoke-"}}
	must(t, c.Create(t.Context(), ns))
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: ns.Name}}
	must(t, client.IgnoreAlreadyExists(c.Create(t.Context(), account)))
	feed := wiredPod(ns.Name, "feed", port)
	must(t, c.Create(t.Context(), feed))
	feed.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: host, PodIPs: []corev1.PodIP{{IP: host}}}
	must(t, c.Status().Update(t.Context(), feed))
	hour := time.Now().Add(-time.Hour)
	postgres := statefulSet(ns.Name, backupapi.Status{Databases: []backupapi.DatabaseStatus{{Name: "nova_auth", LastSuccess: &hour}}})
	must(t, c.Create(t.Context(), postgres))

	smokeRun := func(args ...string) (map[string]smoke.Status, error) {
		t.Helper()
		var out, stderr strings.Builder
		err := run(t.Context(), append([]string{"smoke", "--kubeconfig", file, "-n", ns.Name, "-o", "json", "--skip", "logs"}, args...), nil, &out, &stderr)
		var results []smoke.Result
		if out.Len() > 0 {
			must(t, json.Unmarshal([]byte(out.String()), &results))
		}
		got := map[string]smoke.Status{}
		for _, r := range results {
			got[r.Target+" "+r.Check] = r.Status
			if r.Message != "" {
				t.Log(r.Target, r.Check, r.Message)
			}
		}
		return got, err
	}
	t.Run("a good deployment passes", func(t *testing.T) {
		got, err := smokeRun()
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(map[string]smoke.Status{
			"feed metrics": smoke.Passed, "feed health": smoke.Passed, "feed ready": smoke.Passed, "feed trace": smoke.Skipped,
			"postgres/nova_auth backup": smoke.Passed,
		}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("one that is not ready fails", func(t *testing.T) {
		ready.Store(http.StatusServiceUnavailable)
		t.Cleanup(func() { ready.Store(http.StatusOK) })
		if got, err := smokeRun(); err == nil || commandline.ExitCode(err) != commandline.ExitProblem || got["feed ready"] != smoke.Failed {
			t.Errorf("%v: %v", err, got)
		}
	})
	t.Run("a backup that is too old fails", func(t *testing.T) {
		if got, err := smokeRun("--backup-age", "30m"); err == nil || got["postgres/nova_auth backup"] != smoke.Failed {
			t.Errorf("%v: %v", err, got)
		}
	})
	t.Run("a missing counter fails", func(t *testing.T) {
		if got, err := smokeRun("--counters", "feed_errors_total"); err == nil || got["feed metrics"] != smoke.Failed {
			t.Errorf("%v: %v", err, got)
		}
	})
	t.Run("a pod that does not run fails", func(t *testing.T) {
		must(t, c.Create(t.Context(), wiredPod(ns.Name, "user-service", port)))
		if got, err := smokeRun(); err == nil || got["user-service health"] != smoke.Failed || got["feed health"] != smoke.Passed {
			t.Errorf("%v: %v", err, got)
		}
	})
	t.Run("an empty namespace fails", func(t *testing.T) {
		if _, err := smokeRun("-n", "kube-public"); err == nil || !strings.Contains(err.Error(), "no wired service") {
			t.Error(err)
		}
	})
	for _, args := range [][]string{{"-o", "xml"}, {"--skip", "log"}, {"--wait", "-1s"}, {"--request", "feed"}, {"feed"}} {
		t.Run("refuses "+strings.Join(args, " "), func(t *testing.T) {
			if _, err := smokeRun(args...); commandline.ExitCode(err) != commandline.ExitUsage {
				t.Error(err)
			}
		})
	}
}

// wiredPod returns a pod as injection leaves it, with metrics on another path than the
// default one and probes on a port with a name.
func wiredPod(namespace, name, port string) *corev1.Pod {
	number := intstr.Parse(port).IntVal
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}}}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name + "-0", Namespace: namespace,
			Labels: map[string]string{injection.LabelLogging: injection.LoggingStructured},
			Annotations: map[string]string{
				injection.AnnotationStatus: "{}", injection.AnnotationPrometheusScrape: "true",
				injection.AnnotationPrometheusPort: port, injection.AnnotationPrometheusPath: "/stats",
			},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "app", Image: "app", Env: []corev1.EnvVar{{Name: "OTEL_SERVICE_NAME", Value: name}},
			Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: number}},
			LivenessProbe: probe("/live"), ReadinessProbe: probe("/ready"),
		}}},
	}
}

func statefulSet(namespace string, status backupapi.Status) *appsv1.StatefulSet {
	labels := map[string]string{"app": "postgres"}
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "postgres", Namespace: namespace, Annotations: map[string]string{backupapi.AnnotationStatus: status.Encode()}},
		Spec: appsv1.StatefulSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "postgres", Image: "postgres:17"}}},
			},
		},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMetricsEndpoint(t *testing.T) {
	for want, annotations := range map[string]map[string]string{
		"https 9090 /m":      {"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": "/m", "prometheus.io/scheme": "https"},
		"http 9090 /metrics": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
		"http 7000 /app":     {"prometheus.io/scrape": "true", "prometheus.io/port": "20200", "nova.dev/metrics-endpoint": "http://:7000/app"},
		"  ":                 {"prometheus.io/scrape": "false", "prometheus.io/port": "9090"},
	} {
		scheme, port, path := metricsEndpoint(annotations)
		if got := scheme + " " + port + " " + path; got != want {
			t.Errorf("%v: %q, want %q", annotations, got, want)
		}
	}
}
