//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestTutorial runs every command of docs/tutorial.md in one shell, as a reader does,
// but for the first: `make deploy`, by which `make e2e` installs too.
func TestTutorial(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			switch {
			case strings.HasPrefix(line, "make deploy "):
			case strings.HasPrefix(line, "export KUBECONFIG="): // E2E_KUBECONFIG may name another
				script.WriteString("export KUBECONFIG=" + testenv.EnvConf().KubeconfigFile() + "\n")
			default:
				script.WriteString(line)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", script.String())
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []struct{ what, pattern string }{
		{"preview shows the collector", `(?m)^\+.*name: novawire-collector`},
		{"user-service answers with what content-service has", `"posts":\["post 1000","post 999"`},
		{"the line of the request has its trace", `(?m)^\{"trace_id":"[0-9a-f]{32}".*"GET /feed/\{user\}"`},
		{"the counters of a service", `(?m)^http_server_errors_total 0$`},
		{"Jaeger has both services in one trace", `(?m)^"serviceName":"content-service"$`},
		{"kubectl apply warns about a mistake", `(?m)^Warning: .*grcp.*grpc`},
		{"the audit has the ages of the backup and of the drill", `(?m)^nova +StatefulSet +postgres +yes +\d\S* +\d\S* `},
		{"the restored table has its rows", `(?m)^1000$`},
	} {
		if !regexp.MustCompile(want.pattern).Match(out) {
			t.Errorf("not in the output: %s (%s)", want.what, want.pattern)
		}
	}
	t.Logf("%s", out)
}
