//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/nova/novawire/internal/testing/chunks"
)

// logsFail runs the plugin in the host that models Fluent Bit, once with a CloudWatch Logs
// that cannot be reached, and once with one that refuses lines of three weeks ago. The agent
// beside it does not reach the API server. Fluent Bit's own metrics are scripted, because its
// image is not available here; so are a prune that refuses and a copy that is late, which
// need backups of many days and a second store.
func logsFail(t *testing.T, m monitoring) {
	n := namespace{resourcesIn(t, loggingNamespace), t, loggingNamespace}
	line := func(age time.Duration) []byte {
		return chunks.Line(time.Now().Add(-age), "a line", chunks.Kubernetes("nova", "feed", "app", "node-a"))
	}
	lines := &corev1.ConfigMap{ObjectMeta: meta(n.name, "e2e-chunks"), BinaryData: map[string][]byte{
		"late": line(10 * time.Minute), "expired": line(21 * 24 * time.Hour),
	}}
	n.create(lines)
	kubectl(t, pluginHosts, "apply", "-n", n.name, "-f", "-")
	n.pod("e2e-down", readyOrSucceeded)
	n.pod("e2e-refuses", readyOrSucceeded)

	var dropped int
	script := func(ctx context.Context) {
		dropped++
		n.post(ctx, "pods", "e2e-down:2020", "/metrics", strings.NewReader(fmt.Sprintf(
			"fluentbit_output_dropped_records_total{name=\"novawire.0\"} %d\nfluentbit_input_ingestion_paused{name=\"tail.0\"} 1\n"+
				"novawire_backup_prune_refused{namespace=\"nova\",statefulset=\"auth-db\",database=\"nova_auth\"} 1\n"+
				"novawire_backup_last_copied_timestamp_seconds{namespace=\"nova\",statefulset=\"auth-db\",database=\"nova_auth\"} 1\n", dropped)))
	}
	m.expect(time.Time{}, script,
		alert("NovawireLogsDropped"), alert("NovawireLogsInputPaused"), alert("NovawireBackupPruneRefused"), alert("NovawireBackupNotCopied"),
		alert("NovawireLogsNotDelivered"), alert("NovawireLogsRetried"), alert("NovawireLogsInputBehind"),
		alert("NovawireLogsRejected", "reason", "too_old"), alert("NovawireLogsPodsUnknown"))
}

const loggingNamespace = "novawire-logging"

// removePluginHosts deletes what logsFail created.
func removePluginHosts(t *testing.T) {
	kubectl(t, pluginHosts, "delete", "-n", loggingNamespace, "--ignore-not-found", "--wait=false", "-f", "-")
	kubectl(t, "", "-n", loggingNamespace, "delete", "configmap", "e2e-chunks", "--ignore-not-found")
}

const pluginHosts = `
apiVersion: v1
kind: Pod
metadata:
  name: e2e-down
  labels: {app: e2e-down, app.kubernetes.io/name: fluent-bit}
spec:
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  initContainers:
    - name: plugin
      image: ghcr.io/nova/novawire-fluentbit:dev
      args: [install, /novawire]
      volumeMounts: [{name: plugin, mountPath: /novawire}]
  containers:
    - name: fluent-bit
      image: ghcr.io/nova/e2e-pluginhost:dev
      args: [/novawire/out_novawire.so, region=eu-west-1, "endpoint=http://127.0.0.1:1", node=node-a, flush_timeout=1s, "metrics_listen=:2021", every=500000, rounds=1000, --, /chunks/late]
      env:
        - {name: AWS_ACCESS_KEY_ID, value: id}
        - {name: AWS_SECRET_ACCESS_KEY, value: secret}
      ports: [{name: metrics, containerPort: 2021}]
      volumeMounts: &volumes
        - {name: plugin, mountPath: /novawire}
        - {name: chunks, mountPath: /chunks}
    - name: agent
      image: ghcr.io/nova/novawire-fluentbit:dev
      args: [agent, "--listen=:2022", "--api=http://127.0.0.1:1", --node=node-a, --dir=/novawire/pods, --logs=/novawire]
      ports: [{name: agent, containerPort: 2022}]
      volumeMounts: *volumes
    - name: metrics-of-fluent-bit
      image: ghcr.io/nova/e2e-app:dev
      args: ["-address=:2020"]
      ports: [{name: http, containerPort: 2020}]
  volumes:
    - {name: plugin, emptyDir: {}}
    - name: chunks
      configMap: {name: e2e-chunks}
---
apiVersion: v1
kind: Pod
metadata:
  name: e2e-refuses
  labels: {app: e2e-refuses, app.kubernetes.io/name: fluent-bit}
spec:
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  initContainers:
    - name: plugin
      image: ghcr.io/nova/novawire-fluentbit:dev
      args: [install, /novawire]
      volumeMounts: [{name: plugin, mountPath: /novawire}]
  containers:
    - name: fluent-bit
      image: ghcr.io/nova/e2e-pluginhost:dev
      args: [/novawire/out_novawire.so, region=eu-west-1, "endpoint=http://127.0.0.1:4319", node=node-a, flush_timeout=1s, "metrics_listen=:2021", every=500000, rounds=1000, --, /chunks/expired]
      env:
        - {name: AWS_ACCESS_KEY_ID, value: id}
        - {name: AWS_SECRET_ACCESS_KEY, value: secret}
      ports: [{name: metrics, containerPort: 2021}]
      volumeMounts:
        - {name: plugin, mountPath: /novawire}
        - {name: chunks, mountPath: /chunks}
    - name: cloudwatch-logs
      image: ghcr.io/nova/e2e-xray:dev
      args: ["-logs=127.0.0.1:4319", -region=eu-west-1, -access-key=id, -secret-key=secret]
  volumes:
    - {name: plugin, emptyDir: {}}
    - name: chunks
      configMap: {name: e2e-chunks}
`

// forward opens a port of a pod, also of its loopback, as `kubectl port-forward` does, until the
// test ends, and returns its URL.
func (n namespace) forward(pod *corev1.Pod, port int) (url string) {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), "kubectl", "--kubeconfig", testenv.EnvConf().KubeconfigFile(), "-n", n.name, "port-forward", pod.Name, fmt.Sprint(":", port))
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = cmd.Wait() })
	first, _ := bufio.NewReader(out).ReadString('\n')
	var local int
	if _, err := fmt.Sscanf(first, "Forwarding from 127.0.0.1:%d", &local); err != nil {
		n.t.Fatalf("kubectl port-forward says %q", first)
	}
	return fmt.Sprint("http://127.0.0.1:", local)
}
