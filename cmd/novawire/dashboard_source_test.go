package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/cmd/novawire/dashboard"
)

// A mistake in --config is not an API server that does not answer.
func TestDashboard_MistakeInTheConfiguration(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "kubeconfig")
	must(t, os.WriteFile(file, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"`+server.URL+`"}}]}`), 0o600))
	flags := dashboardFlags{cluster: clusterFlags{kubeconfig: file}, system: "nova-system", interval: time.Minute, config: filepath.Join(dir, "none.yaml")}
	cluster, _, err := flags.cluster.open("")
	must(t, err)
	d, err := newDashboardSource(flags, cluster, "novawire")
	must(t, err)
	for what, ask := range map[string]func() (any, error){
		"status":  func() (any, error) { return d.Status(t.Context()) },
		"pods":    func() (any, error) { return d.Pods(t.Context(), dashboard.Workload{}) },
		"explain": func() (any, error) { return d.Explain(t.Context(), dashboard.Workload{Kind: "Pod"}) },
	} {
		_, err := ask()
		var known *dashboard.Error
		if !errors.As(err, &known) || known.Status != http.StatusInternalServerError || strings.Contains(err.Error(), "API server") || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// While the API server hangs, one reading waits for it, and its error is remembered.
func TestDashboard_APIServerHangs(t *testing.T) {
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(file, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"`+server.URL+`"}}]}`), 0o600))
	flags := dashboardFlags{cluster: clusterFlags{kubeconfig: file}, system: "nova-system", interval: time.Minute}
	cluster, _, err := flags.cluster.open("")
	must(t, err)
	d, err := newDashboardSource(flags, cluster, "novawire")
	must(t, err)
	now := time.Now()
	d.now = func() time.Time { return now }

	first := make(chan error)
	go func() {
		_, err := d.read(t.Context())
		first <- err
	}()
	<-asked
	closed, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.read(closed); !errors.Is(err, context.Canceled) {
		t.Errorf("the page that was closed got %v", err)
	}
	close(answer)
	err = <-first
	if err == nil || !strings.Contains(err.Error(), "teapot") && !strings.Contains(err.Error(), "418") {
		t.Errorf("the first page got %v", err)
	}
	for len(asked) > 0 { // the rest of the first reading
		<-asked
	}
	if _, again := d.read(t.Context()); again == nil || len(asked) > 0 {
		t.Errorf("within the interval: %v, %d requests", again, len(asked))
	}
	now = now.Add(flags.interval)
	if _, again := d.read(t.Context()); again == nil || len(asked) == 0 {
		t.Errorf("after the interval: %v, %d requests", again, len(asked))
	}
}
