package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nova/novawire/internal/commandline"
)

func TestCheck_NoCluster(t *testing.T) {
	dir := t.TempDir()
	silent := filepath.Join(dir, "silent")
	content := `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}]}`
	if err := os.WriteFile(silent, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, c := range map[string]struct {
		kubeconfig string
		args       []string
		lines      int // with fail
		want       string
	}{
		"the server does not answer check":          {silent, []string{"check"}, 1, "the API server does not answer"},
		"the server does not answer check webhooks": {silent, []string{"check", "webhooks"}, 2, "not checked"},
		"there is no kubeconfig":                    {filepath.Join(dir, "none"), []string{"check"}, 0, "find the cluster: no kubeconfig in " + filepath.Join(dir, "none")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", c.kubeconfig)
			stdout, stderr, code := cli(t, "", c.args...)
			if code != commandline.ExitProblem || !strings.Contains(stdout+stderr, c.want) || strings.Count("\n"+stdout, "\nfail ") != c.lines {
				t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
			}
		})
	}
}
