package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/certs/expiry"
	"github.com/nova/novawire/internal/testing/cluster"
)

// The program makes its own authority, has the API server trust it, and
// `novawire check certs` finds nothing wrong with that.
func TestWebhook_OwnCertificate(t *testing.T) {
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
	b.write("kubeconfig", kubeconfig(t, config))
	port, health, scraped := freePort(t), address(freePort(t)), address(freePort(t))
	process := exec.Command(program(t), "webhook", "--namespace", "own-certs", "--webhook-configuration", "own-certs",
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
	var out bytes.Buffer
	check := func(service string) error {
		out.Reset()
		return run(t.Context(), []string{
			"check", "certs", "--kubeconfig", filepath.Join(b.dir, "kubeconfig"),
			"--namespace", "own-certs", "--service", service, "--address", address(port),
		}, nil, &out, io.Discard)
	}
	if err := check("novawire"); err != nil {
		t.Errorf("check: %v\n%s", err, &out)
	}
	if !strings.Contains(out.String(), "trusted by ValidatingWebhookConfiguration own-certs, one.nova.dev") {
		t.Errorf("the trust is not shown:\n%s", &out)
	}
	if err := check("elsewhere"); exitCode(err) != exitProblem || !strings.Contains(out.String(), "problem") {
		t.Errorf("a Service that it does not serve: %v\n%s", err, &out)
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

func TestCheckCerts_Problems(t *testing.T) {
	const name = "novawire.novawire-system.svc"
	policy := certs.DefaultPolicy()
	authority, err := certs.NewAuthority("test", time.Now(), policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.NewAuthority("other", time.Now(), policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string, age time.Duration) []*x509.Certificate {
		leaf, err := authority.Issue([]string{name}, time.Now().Add(-age), policy, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{leaf.Leaf}
	}
	cases := map[string]struct {
		chain   []*x509.Certificate
		trusted certs.Authority
		want    string // of the problem line; empty for none
	}{
		"a fresh leaf is well":                 {issue(name, 0), authority, ""},
		"a leaf that has expired":              {issue(name, policy.Leaf+time.Hour), authority, "only"},
		"a leaf that should have been renewed": {issue(name, policy.Leaf*4/5), authority, "has not been renewed"},
		"a leaf for another name":              {issue("elsewhere", 0), authority, "not " + name},
		"a caBundle of another authority":      {issue(name, 0), other, "not trusted by the webhook"},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			var out bytes.Buffer
			found := &findings{out: &out}
			checkChain(found, "pod a", c.chain, []trust{{"the webhook", certs.Bundle{c.trusted.Certificate}}}, name, time.Now())
			problem := ""
			for line := range strings.Lines(out.String()) {
				if strings.HasPrefix(line, "problem") && problem == "" {
					problem = line
				}
			}
			if c.want == "" && problem != "" || !strings.Contains(problem, c.want) || (found.result() == nil) != (c.want == "") {
				t.Errorf("want a problem with %q, got:\n%s", c.want, &out)
			}
		})
	}
}

func TestWebhook_ReloadsCertificateFiles(t *testing.T) {
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
	if _, err := (certFlags{mode: "guess"}).prepare(nil, expiry.New(prometheus.NewRegistry())); exitCode(err) != exitUsage {
		t.Errorf("unknown mode: %v", err)
	}
}
