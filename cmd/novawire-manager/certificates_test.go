package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/certs/expiry"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/testing/cluster"
)

// The program makes its own authority, has the API server trust it, and
// `novawire check certs` finds nothing wrong with that.
func TestManager_OwnCertificate(t *testing.T) {
	config := cluster.Config(t)
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &environment{TB: t, config: config, client: c, dir: t.TempDir()}
	b.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "own-certs"}})
	b.create(&admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "own-certs"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "one.nova.dev", SideEffects: new(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "own-certs", Name: "novawire"}},
		}},
	})
	b.write("kubeconfig", cluster.Kubeconfig(t, config))
	port, health, scraped := freePort(t), address(freePort(t)), address(freePort(t))
	process := exec.Command(program(t, "novawire-manager"), "--namespace", "own-certs", "--webhook-configuration", "own-certs",
		"--host", "127.0.0.1", "--port", strconv.Itoa(port), "--metrics-address", scraped, "--health-address", health)
	process.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(b.dir, "kubeconfig"))
	var log bytes.Buffer
	process.Stderr = &log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Process.Signal(syscall.SIGTERM)
		process.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	b.eventually("ready", func() bool {
		response, err := http.Get("http://" + health + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	check := func(service string) (string, int) {
		stdout, stderr, code := cli(t, "check", "certs", "--kubeconfig", filepath.Join(b.dir, "kubeconfig"),
			"--namespace", "own-certs", "--service", service, "--address", address(port))
		return stdout + stderr, code
	}
	if out, code := check("novawire"); code != 0 || !strings.Contains(out, "trusted by ValidatingWebhookConfiguration own-certs, one.nova.dev") {
		t.Errorf("exit %d, or the trust is not shown:\n%s", code, out)
	}
	if out, code := check("elsewhere"); code != commandline.ExitProblem || !strings.Contains(out, "fail") {
		t.Errorf("a Service that it does not serve: exit %d\n%s", code, out)
	}
	response, err := http.Get("http://" + scraped + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, series := range []string{
		`novawire_certificate_expiry_timestamp_seconds{kind="ca"} `,
		`novawire_certificate_expiry_timestamp_seconds{kind="leaf"} `,
		`novawire_certificate_not_before_timestamp_seconds{kind="leaf"} `,
		`novawire_certificate_rotations_total{step="issued"} 1`,
		`novawire_certificate_last_error_timestamp_seconds `,
	} {
		if !bytes.Contains(text, []byte("\n"+series)) {
			t.Errorf("no metric %s", series)
		}
	}
}

func TestManager_ReloadsCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(host string) {
		certificate, key, err := certutil.GenerateSelfSignedCertKey(host, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
			part := filepath.Join(dir, name+".part") // as the kubelet does, in one stroke
			if err := os.WriteFile(part, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(part, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("before")
	for _, mode := range []string{certFiles, certCertManager} {
		served, err := certFlags{mode: mode, dir: dir}.prepare(nil, expiry.New(prometheus.NewRegistry()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- served.runnable.Start(ctx) }()
		config := &tls.Config{}
		served.tls(config)
		if config.MinVersion != tls.VersionTLS13 {
			t.Errorf("%s: TLS from %x", mode, config.MinVersion)
		}
		write(mode + "-after")
		(&environment{TB: t}).eventually("the new certificate is served", func() bool {
			certificate, err := config.GetCertificate(nil)
			return err == nil && certificate.Leaf.VerifyHostname(mode+"-after") == nil
		})
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	if _, err := (certFlags{mode: "guess"}).prepare(nil, expiry.New(prometheus.NewRegistry())); commandline.ExitCode(err) != commandline.ExitUsage {
		t.Errorf("unknown mode: %v", err)
	}
}
