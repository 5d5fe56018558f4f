package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) {
	if port := os.Getenv(peerVariable); port != "" {
		fmt.Fprintln(os.Stderr, servePeer(port))
		os.Exit(1)
	}
	code := cluster.Run(m)
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

var built struct {
	sync.Once
	dir string
	err error
}

// program builds the manager and the command line once for the test process and returns
// the path of one. The tests stop and kill the manager, so it runs as a process of its own.
func program(t testing.TB, name string) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "novawire"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.dir, ".", "../novawire").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, name)
}

// cli runs the command line and returns its output and its exit code.
func cli(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	process := exec.CommandContext(ctx, program(t, "novawire"), args...)
	process.Stdout, process.Stderr = &out, &errs
	if err := process.Run(); err != nil && process.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), process.ProcessState.ExitCode()
}

// environment is a running novawire-manager and the API server that calls it.
type environment struct {
	testing.TB
	config  *rest.Config
	client  client.Client
	process *exec.Cmd
	exited  chan error
	dir     string // config.yaml, tls.crt, tls.key
	metrics string // address
	health  string
	port    int
	log     *logBuffer
}

// logBuffer holds what a program logs, and can be read while it does.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const startConfig = "apiVersion: config.nova.dev/v1alpha1\nkind: ManagerConfiguration\ninjection: {clusterName: test, gateway: {grpcEndpoint: 'http://gateway:4317'}}\n"

// startManager starts the program and registers the webhooks of the product's own
// manifests with the URL of this process.
func startManager(t testing.TB) *environment {
	t.Helper()
	config := cluster.Config(t)
	config.QPS = -1 // the test is the load
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := &environment{TB: t, config: config, client: c, dir: t.TempDir(), port: freePort(t)}
	m.metrics, m.health = address(freePort(t)), address(freePort(t))
	bundle, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: defaultNamespace}} // holds the Lease
	if err := c.Create(t.Context(), system); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	m.write("tls.crt", bundle)
	m.write("tls.key", key)
	m.write("config.yaml", []byte(startConfig))
	m.write("kubeconfig", cluster.Kubeconfig(t, config))
	m.createProbeNamespace()
	m.start()
	m.register(bundle)
	return m
}

func (m *environment) start() {
	m.Helper()
	m.process = exec.Command(program(m, "novawire-manager"),
		"--config", filepath.Join(m.dir, "config.yaml"), "--config-interval", "20ms",
		"--cert-mode", "files", "--cert-dir", m.dir, "--admission-probe-namespace", "novawire-probe", "--repair", "--host", "127.0.0.1", "--port", strconv.Itoa(m.port),
		"--metrics-address", m.metrics, "--health-address", m.health)
	m.process.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(m.dir, "kubeconfig"))
	m.log = new(logBuffer)
	m.process.Stderr = m.log
	if err := m.process.Start(); err != nil {
		m.Fatal(err)
	}
	m.exited = make(chan error, 1)
	go func(p *exec.Cmd, exited chan error) { exited <- p.Wait() }(m.process, m.exited)
	m.Cleanup(func() { _ = m.process.Process.Kill() })
	m.eventually("ready", func() bool {
		response, err := http.Get("http://" + m.health + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// stop sends SIGTERM and returns the error of the program.
func (m *environment) stop() error {
	m.Helper()
	if err := m.process.Process.Signal(syscall.SIGTERM); err != nil {
		m.Fatal(err)
	}
	select {
	case err := <-m.exited:
		return err
	case <-time.After(30 * time.Second):
		m.Fatalf("did not end after SIGTERM:\n%s", m.log)
		return nil
	}
}

// register applies manifests/base/webhooks.yaml with a URL in place of the Service and
// waits until the API server calls it.
func (m *environment) register(bundle []byte) {
	m.Helper()
	text, err := os.ReadFile("../../manifests/base/webhooks.yaml")
	if err != nil {
		m.Fatal(err)
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var mutating admissionv1.MutatingWebhookConfiguration
		var validating admissionv1.ValidatingWebhookConfiguration
		if strings.Contains(document, "kind: MutatingWebhookConfiguration") {
			m.decode(document, &mutating)
			for i := range mutating.Webhooks {
				mutating.Webhooks[i].ClientConfig = m.clientConfig(mutating.Webhooks[i].ClientConfig, bundle)
			}
			m.create(&mutating)
			continue
		}
		m.decode(document, &validating)
		for i := range validating.Webhooks {
			validating.Webhooks[i].ClientConfig = m.clientConfig(validating.Webhooks[i].ClientConfig, bundle)
		}
		m.create(&validating)
	}
	ns := m.namespace(nil)
	m.eventually("called by the API server", func() bool {
		pod := podIn(ns)
		return m.client.Create(m.Context(), pod, client.DryRunAll) == nil && isWired(pod)
	})
}

func (m *environment) clientConfig(c admissionv1.WebhookClientConfig, bundle []byte) admissionv1.WebhookClientConfig {
	url := "https://" + address(m.port) + *c.Service.Path
	return admissionv1.WebhookClientConfig{URL: &url, CABundle: bundle}
}

func (m *environment) decode(document string, into any) {
	m.Helper()
	if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
		m.Fatal(err)
	}
}

// create creates an object and deletes it at the end of the test.
func (m *environment) create(o client.Object) {
	m.Helper()
	if err := m.client.Create(m.Context(), o); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { _ = m.client.Delete(context.Background(), o) })
}

// namespace creates a namespace that is labelled for wiring.
func (m *environment) namespace(annotations map[string]string) string {
	m.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "nova-", Annotations: annotations,
		Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled},
	}}
	m.create(ns)
	return ns.Name
}

func (m *environment) write(name string, text []byte) {
	m.Helper()
	file := filepath.Join(m.dir, name)
	// Replaced as a whole, as the kubelet does: the program may read it at any time.
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		m.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		m.Fatal(err)
	}
}

// metric returns the value of a series, 0 if it does not exist.
func (m *environment) metric(series string) float64 {
	response, err := http.Get("http://" + m.metrics + "/metrics")
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			number, _ := strconv.ParseFloat(value, 64)
			return number
		}
	}
	return 0
}

func (m *environment) eventually(what string, is func() bool) {
	m.Helper()
	eventually(m, what, is)
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !is(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not %s within a minute", what)
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// podIn returns a pod without an owner.
func podIn(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "app-", Namespace: namespace},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "app", Image: "ghcr.io/nova/app:1.2.3",
			Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9090}},
		}}},
	}
}

func isWired(pod *corev1.Pod) bool {
	return pod.Annotations[injection.AnnotationStatus] != "" && pod.Labels[injection.LabelLogging] == injection.LoggingStructured
}

func value(c corev1.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
