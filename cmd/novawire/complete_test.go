package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/cluster"
)

// The shell asks the program for suggestions, and the program a real API server.
func TestComplete(t *testing.T) {
	config := cluster.Config(t)
	c, err := client.New(config, client.Options{})
	must(t, err)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, cluster.Kubeconfig(t, config), 0o600))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "complete-these"}}
	must(t, c.Create(t.Context(), ns))
	t.Cleanup(func() { _ = c.Delete(t.Context(), ns) })
	hour := time.Now().Add(-time.Hour)
	for name, change := range map[string]func(*appsv1.StatefulSet){
		"recorded": func(*appsv1.StatefulSet) {},
		"new":      func(s *appsv1.StatefulSet) { s.Annotations = map[string]string{backupapi.AnnotationEnabled: "true"} },
		"none":     func(s *appsv1.StatefulSet) { s.Annotations = nil },
	} {
		s := statefulSet(ns.Name, backupapi.Status{Databases: []backupapi.DatabaseStatus{
			{Name: "nova_auth", LastSuccess: &hour, Backup: "20261126T010000Z-aaaaaa"},
			{Name: "nova_content", LastSuccess: &hour, Backup: "20261126T010000Z-bbbbbb"},
			{Name: "fresh"},
		}})
		s.Name = name
		change(s)
		must(t, c.Create(t.Context(), s))
	}
	for line, want := range map[string][]string{
		"backup now -n complete-these ":                                       {"sts/new", "sts/recorded"},
		"backup now -n complete-these sts/r":                                  {"sts/recorded"},
		"backup now -n complete-these sts/new ":                               nil,
		"backup status -n complete-these ":                                    {"sts/new", "sts/recorded"},
		"backup list --namespace complete-":                                   {"complete-these"},
		"smoke -n complete-":                                                  {"complete-these"},
		"backup restore -n complete-these sts/recorded --database ":           {"fresh", "nova_auth", "nova_content"},
		"backup restore -n complete-these sts/recorded --database nova_":      {"nova_auth", "nova_content"},
		"backup verify -n complete-these recorded --backup ":                  {"20261126T010000Z-aaaaaa", "20261126T010000Z-bbbbbb"},
		"backup verify -n complete-these --backup ":                           nil, // of which object?
		"backup audit --output ":                                              {"table", "json"},
		"explain -n complete-these sts/":                                      {"sts/new", "sts/none", "sts/recorded"},
		"explain -n complete-these sts/new ":                                  nil,
		"explain --output ":                                                   {"text", "json"},
		"telemetry complete-":                                                 {"complete-these"},
		"telemetry complete-these ":                                           nil,
		"status --output ":                                                    {"table", "json", "yaml"},
		"status -n complete-these sts/n":                                      {"sts/new", "sts/none"},
		"check -n complete-":                                                  {"complete-these"},
		"check webhooks --output ":                                            {"table", "json"},
		"preview --color ":                                                    {"auto", "always", "never"},
		"version --context ":                                                  {"test"},
		"backup now -n complete-these --kubeconfig /nowhere/at/all/kubecnfg ": nil,
	} {
		t.Run(line, func(t *testing.T) {
			args := strings.Split(line, " ")
			if !strings.Contains(line, "--kubeconfig") {
				t.Setenv("KUBECONFIG", file)
			}
			stdout, stderr, code := cli(t, "", append([]string{"__complete"}, args...)...)
			var got []string
			for suggestion := range strings.Lines(stdout) {
				if suggestion = strings.TrimSpace(suggestion); !strings.HasPrefix(suggestion, ":") && suggestion != "" {
					got = append(got, suggestion)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || code != 0 {
				t.Errorf("exit %d: %s%s", code, diff, stderr)
			}
		})
	}
}

func TestDisplayName(t *testing.T) {
	for program, want := range map[string]string{
		"novawire": "novawire", "/usr/bin/novawire": "novawire", "./novawire-v0.2.0": "novawire",
		"kubectl-novawire": "kubectl novawire", "/usr/local/bin/kubectl-novawire": "kubectl novawire",
	} {
		if got := displayName(program); got != want {
			t.Errorf("%s: %q, want %q", program, got, want)
		}
	}
	for _, args := range [][]string{{"--help"}, {"preview", "--help"}, {"backup", "restore", "--help"}, {"backup", "lst"}, {"--version"}} {
		var out strings.Builder
		if err := runAs(t.Context(), "kubectl novawire", args, nil, &out, &out); err != nil {
			out.WriteString(err.Error())
		}
		if !strings.Contains(out.String(), "kubectl novawire") {
			t.Errorf("%v: kubectl novawire is not named:\n%s", args, &out)
		}
	}
}
