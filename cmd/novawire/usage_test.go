package main

import (
	"os"
	"strings"
	"testing"
)

// What a command would ignore, or cannot mean, is one line and exit code 2; what is wrong with a
// file is exit code 1.
func TestCommandLine_Mistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"sample.log":  "a@b.co\n",
		"config.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}",
		"rules.yaml":  "{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {inject.nova.dev/redact: '# none yet'}}, spec: {containers: [{name: a, image: a}]}}",
		"pod.yaml": "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: nova, uid: u, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: feed, uid: r, controller: true}]," +
			" annotations: {inject.nova.dev/status: '{}'}}, spec: {containers: [{name: a, image: a}]}}",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"preview --redact sample.log -o diff rules.yaml", "--output says how manifests are printed", 2},
		{"preview --redact sample.log --explain rules.yaml", "--explain says how manifests are printed", 2},
		{"preview --redact sample.log --color never rules.yaml", "--color says how manifests are printed", 2},
		{"preview --redact - -", "cannot both be standard input", 2},
		{"preview --redact sample.log rules.yaml", "no rule of redaction", 1},
		{"preview -n Bad_NS rules.yaml", `--namespace "Bad_NS"`, 2},
		{"explain --verify config.yaml", "config.yaml has no Pod", 1},
		{"explain --verify pod.yaml", "the input has no ReplicaSet feed", 1},
		{"status -A -n nova", "--all-namespaces takes no namespace", 2},
		{"status -A deploy/feed", "--all-namespaces takes no namespace", 2},
		{"status --kubeconfig nowhere", "--kubeconfig nowhere: there is no such file", 1},
		{"telemetry nova -n nova", "name the namespace once", 2},
	} {
		stdout, stderr, code := cli(t, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s\n%s", c.args, code, c.code, c.want, stdout, stderr)
		}
	}
}
