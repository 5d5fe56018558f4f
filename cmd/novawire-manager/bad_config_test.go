package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/testing/cluster"
)

// TestManager_BadConfiguration starts a replica with a mistake in its configuration, twice, as
// a roll-out does.
func TestManager_BadConfiguration(t *testing.T) {
	config := cluster.Config(t)
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &environment{TB: t, config: config, client: c, dir: t.TempDir()}
	b.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bad-config"}})
	b.write("kubeconfig", cluster.Kubeconfig(t, config))
	b.write("config.yaml", []byte("injection: {clusterNam: typo}\n"))
	for range 2 {
		process := exec.Command(program(t, "novawire-manager"), "--namespace", "bad-config", "--config", filepath.Join(b.dir, "config.yaml"))
		process.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(b.dir, "kubeconfig"))
		var stderr bytes.Buffer
		process.Stderr = &stderr
		if err := process.Run(); err == nil || process.ProcessState.ExitCode() != 1 {
			t.Errorf("ended with %v", err)
		}
		for line := range strings.Lines(stderr.String()) {
			var entry struct{ Time, Level, Msg, Error string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
				t.Errorf("a line that is not like all others: %q", line)
			}
		}
		if !strings.Contains(stderr.String(), `"level":"ERROR"`) || !strings.Contains(stderr.String(), "clusterNam") {
			t.Errorf("the log does not name the mistake:\n%s", &stderr)
		}
	}
	var events eventsv1.EventList
	if err := c.List(t.Context(), &events, client.InNamespace("bad-config")); err != nil {
		t.Fatal(err)
	}
	if len(events.Items) != 1 || events.Items[0].Reason != "BadConfiguration" || !strings.Contains(events.Items[0].Note, "clusterNam") ||
		events.Items[0].Regarding.Kind != "Deployment" || events.Items[0].Regarding.Name != defaultService {
		t.Errorf("Events: %+v", events.Items)
	}
}
