package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/injection"
	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/telemetry"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestDashboard_CommandLine(t *testing.T) {
	var listen net.ListenConfig
	taken, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}]}`), 0o600))
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a port that is taken":       {[]string{"--kubeconfig", file, "--port", port}, commandline.ExitProblem, "port " + port + " is taken; --port names another one"},
		"a port that does not exist": {[]string{"--port", "65536"}, commandline.ExitUsage, "--port 65536: use 1 to 65535"},
		"an interval of nothing":     {[]string{"--interval", "10ms"}, commandline.ExitUsage, "use 1s or more"},
		"a workload":                 {[]string{"deploy/feed"}, commandline.ExitUsage, "it takes no argument"},
		"no kubeconfig":              {[]string{"--kubeconfig", file + "-none"}, commandline.ExitProblem, "no such file"},
		"no such context":            {[]string{"--kubeconfig", file, "--context", "prod"}, commandline.ExitProblem, `context "prod" does not exist`},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := cli(t, "", append([]string{"dashboard"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.want) || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
				t.Errorf("exit %d: %s", code, stderr)
			}
		})
	}
}

func get[T any](t *testing.T, address string) (value T, status int) {
	t.Helper()
	answer, err := http.Get(address)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s: %v: %s", address, err, text)
	}
	return value, answer.StatusCode
}

// The page's data is what status and explain print.
func TestDashboard_SameAsTheCommands(t *testing.T) {
	s := newShown(t)
	s.manager("dashboard-same-system")
	s.namespace("dashboard-same")
	s.pods("dashboard-same", "feed", injection.PodWired, 2)
	s.pods("dashboard-same", "feed", injection.PodMissing, 1)
	s.pods("dashboard-same", "node", injection.PodSkipped, 1)
	s.telemetry("dashboard-same-system", map[string]map[string]ledgerapi.Entry{
		"dashboard-same/auth":  {ledgerapi.Traces: {Accepted: 5000, Exported: 5000, ExportedBytes: 1 << 20}},
		"dashboard-same/feed":  {ledgerapi.Traces: {Accepted: 1000, Exported: 980, Dropped: map[string]int64{"queue_full": 20}, ExportedBytes: 1 << 10}, ledgerapi.Logs: {Accepted: 9, Exported: 9, Refused: map[string]int64{"memory": 3}, Redacted: map[string]int64{"email": 4}}},
		"dashboard-other/cart": {ledgerapi.Metrics: {Accepted: 7, Exported: 7, ExportedBytes: 1 << 10}},
	})
	flags := []string{"-n", "dashboard-same", "--system-namespace", "dashboard-same-system", "--kubeconfig", s.kubeconfig, "-o", "json"}
	address := s.serve("-n", "dashboard-same", "--system-namespace", "dashboard-same-system")

	t.Run("namespaces and workloads are those of status", func(t *testing.T) {
		stdout, stderr, _ := cli(t, "", append([]string{"status"}, flags...)...)
		var want, got clusterStatus
		must(t, json.Unmarshal([]byte(stdout), &want))
		got, _ = get[clusterStatus](t, address+"/api/status")
		if asJSON(t, want) != asJSON(t, got) {
			t.Errorf("status: %s\n%s\ndashboard: %s", asJSON(t, want), stderr, asJSON(t, got))
		}
		if len(got.Namespaces) != 1 || got.Namespaces[0].Pods[injection.PodMissing] != 1 || got.Namespaces[0].Pods[injection.PodWired] != 2 {
			t.Errorf("%s", asJSON(t, got))
		}
	})
	feed := url.Values{"namespace": {"dashboard-same"}, "kind": {"Deployment"}, "name": {"feed"}}.Encode()
	t.Run("pods are those of status with a workload", func(t *testing.T) {
		stdout, _, _ := cli(t, "", append([]string{"status", "deploy/feed"}, flags...)...)
		var status clusterStatus
		must(t, json.Unmarshal([]byte(stdout), &status))
		got, _ := get[[]podDetail](t, address+"/api/pods?"+feed)
		if want := status.Namespaces[0].Workloads[0].Details; asJSON(t, want) != asJSON(t, got) || len(got) != 3 {
			t.Errorf("status: %s\ndashboard: %s", asJSON(t, want), asJSON(t, got))
		}
	})
	t.Run("the reason is that of explain, whose command is printed", func(t *testing.T) {
		var pod string
		pods, _ := get[[]podDetail](t, address+"/api/pods?"+feed)
		for _, p := range pods {
			if p.State == injection.PodMissing {
				pod = p.Name
			}
		}
		got, _ := get[struct {
			Groups  []podExplanation
			Command string
		}](t, address+"/api/explain?"+url.Values{"namespace": {"dashboard-same"}, "kind": {"Pod"}, "name": {pod}}.Encode())
		if len(got.Groups) != 1 || got.Groups[0].Finding == nil {
			t.Fatalf("%s", asJSON(t, got))
		}
		words := strings.Fields(got.Command)
		stdout, _, code := cli(t, "", append(words[1:], "--system-namespace", "dashboard-same-system", "-o", "json")...)
		var want explanation
		must(t, json.Unmarshal([]byte(stdout), &want))
		if code != commandline.ExitProblem || asJSON(t, want.Pods[0].Finding) != asJSON(t, got.Groups[0].Finding) {
			t.Errorf("%s: exit %d: %s\ndashboard: %s", got.Command, code, stdout, asJSON(t, got))
		}
	})
	t.Run("the account is that of telemetry, and what lost something comes first", func(t *testing.T) {
		stdout, _, _ := cli(t, "", "telemetry", "dashboard-same", "--system-namespace", "dashboard-same-system", "--kubeconfig", s.kubeconfig, "-o", "json")
		var want telemetry.Report
		must(t, json.Unmarshal([]byte(stdout), &want))
		got, _ := get[struct{ Telemetry shownTelemetry }](t, address+"/api/status")
		if asJSON(t, newShownTelemetry(want)) != asJSON(t, got.Telemetry) {
			t.Errorf("telemetry: %s\ndashboard: %s", stdout, asJSON(t, got))
		}
		first := got.Telemetry.Services[0]
		if got.Telemetry.Lost != 20 || got.Telemetry.Accepted != 6009 || got.Telemetry.Loss != "0.33%" || len(got.Telemetry.Services) != 2 ||
			first.Name != "feed" || first.Loss != "1.98%" || first.Redacted != 4 || len(first.Signals) != 2 || first.Signals[0].Reasons != "dropped: queue_full (20)" {
			t.Errorf("%s", asJSON(t, got.Telemetry))
		}
	})
	t.Run("a workload that is gone, a kind that is not explained and another namespace are refused", func(t *testing.T) {
		for query, want := range map[string]int{
			"namespace=dashboard-same&kind=Deployment&name=gone": http.StatusNotFound,
			"namespace=dashboard-same&kind=Rollout&name=feed":    http.StatusBadRequest,
			"namespace=dashboard-same&kind=Secret&name=feed":     http.StatusBadRequest,
			"namespace=default&kind=Pod&name=feed":               http.StatusForbidden,
		} {
			if body, status := get[map[string]string](t, address+"/api/explain?"+query); status != want || body["error"] == "" {
				t.Errorf("%s: %d %s", query, status, body)
			}
		}
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return string(text)
}

// Who may read one namespace only is told how to see it.
func TestDashboard_Rights(t *testing.T) {
	s := newShown(t)
	s.namespace("dashboard-rights")
	s.pods("dashboard-rights", "feed", injection.PodWired, 1)
	rules := []rbacv1.PolicyRule{{APIGroups: []string{"", "apps", "batch"}, Resources: []string{"pods", "cronjobs", "statefulsets"}, Verbs: []string{"list"}}}
	s.create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "dashboard-rights", Name: "reader"}, Rules: rules})
	s.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "dashboard-rights", Name: "reader"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "jane"}},
	})
	s.create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "dashboard-rights"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}}}})
	s.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "dashboard-rights"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "dashboard-rights"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "jane"}},
	})
	s.as("jane")
	t.Run("the whole cluster is forbidden, and the answer names the flag", func(t *testing.T) {
		body, status := get[map[string]string](t, s.serve()+"/api/status")
		if status != http.StatusForbidden || !strings.Contains(body["error"], "start novawire dashboard --namespace NAMESPACE") {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("one namespace is shown, and notes say what cannot be read", func(t *testing.T) {
		body, status := get[clusterStatus](t, s.serve("-n", "dashboard-rights")+"/api/status")
		if status != http.StatusOK || len(body.Namespaces) != 1 || len(body.Namespaces[0].Workloads) != 1 || !strings.Contains(strings.Join(body.Notes, "\n"), "the manager cannot be read") {
			t.Errorf("%d %s", status, asJSON(t, body))
		}
	})
}

// as makes the kubeconfig that of a user without rights of their own.
func (s *shown) as(user string) {
	s.tb.Helper()
	config := cluster.Config(s.tb)
	text := strings.Replace(string(cluster.Kubeconfig(s.tb, config)), "  user:\n", "  user:\n    as: "+user+"\n", 1)
	if !strings.Contains(text, "as: "+user) {
		s.tb.Fatal("the kubeconfig has no user")
	}
	must(s.tb, os.WriteFile(s.kubeconfig, []byte(text), 0o600))
}

func TestDashboard_APIServerAway(t *testing.T) {
	s := &shown{tb: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	must(t, os.WriteFile(s.kubeconfig, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"prod","contexts":[{"name":"prod","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}]}`), 0o600))
	body, status := get[map[string]string](t, s.serve()+"/api/status")
	if status != http.StatusBadGateway || !strings.HasPrefix(body["error"], "the API server of prod does not answer: ") || strings.Contains(body["error"], "\n") {
		t.Errorf("%d %s", status, body)
	}
}
