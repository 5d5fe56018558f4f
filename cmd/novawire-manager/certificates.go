package main

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/certs/expiry"
	"github.com/nova/novawire/certs/rotator"
	"github.com/nova/novawire/internal/commandline"
)

// The default names of an installation.
const (
	defaultNamespace = "novawire-system"
	defaultService   = "novawire"
)

// The sources of the serving certificate.
const (
	certSelf        = "self"         // our own certificate authority, see package rotator
	certFiles       = "files"        // files that another program manages
	certCertManager = "cert-manager" // files that cert-manager manages; its cainjector writes the caBundle
)

// certFlags are the flags of the serving certificate.
type certFlags struct {
	mode, dir          string
	namespace, service string
	secret             string
	configuration      string
}

func (c *certFlags) register(f *pflag.FlagSet) {
	f.StringVar(&c.mode, "cert-mode", certSelf, "source of the serving certificate: self (our own authority, stored in a Secret), files, or cert-manager (files that cert-manager manages)")
	f.StringVar(&c.dir, "cert-dir", "/etc/novawire/certs", "files, cert-manager: directory of tls.crt and tls.key, which are reloaded when they change")
	f.StringVar(&c.namespace, "namespace", defaultNamespace, "namespace of the installation: of its Service, Secret and Lease")
	f.StringVar(&c.service, "service", defaultService, "self: Service that the certificate is valid for")
	f.StringVar(&c.secret, "ca-secret", "novawire-ca", "self: Secret that holds the authorities; it is created if it does not exist")
	f.StringVar(&c.configuration, "webhook-configuration", defaultService, "name of the webhook configurations: in mode self their caBundle is written, and the admission probe watches them")
}

// certificate connects the server to one source of certificates.
type certificate struct {
	tls      func(*tls.Config)
	runnable manager.Runnable
	ready    healthz.Checker
}

// prepare creates the source of the certificate; nothing runs yet.
func (c certFlags) prepare(cluster *rest.Config, metrics *expiry.Metrics) (certificate, error) {
	switch c.mode {
	case certSelf:
		return c.selfSigned(cluster, metrics)
	case certFiles, certCertManager:
		return c.files(metrics)
	}
	return certificate{}, commandline.UsageError("--cert-mode %q: use %s, %s or %s", c.mode, certSelf, certFiles, certCertManager)
}

func (c certFlags) selfSigned(cluster *rest.Config, metrics *expiry.Metrics) (certificate, error) {
	r, err := rotator.New(cluster, rotator.Settings{
		Namespace: c.namespace,
		Secret:    c.secret,
		Names:     serviceNames(c.service, c.namespace),
		Webhooks:  rotator.Selection{Name: c.configuration},
		Policy:    certs.DefaultPolicy(),
		Interval:  15 * time.Second,
		Now:       time.Now,
		Random:    rand.Reader,
		Log:       log.Log.WithName("certs"),
		Metrics:   metrics,
		Warn:      deploymentWarnings{cluster, c.namespace}.warn,
	})
	if err != nil {
		return certificate{}, fmt.Errorf("prepare certificates: %w", err)
	}
	return certificate{tls: r.TLS, runnable: r, ready: r.Ready}, nil
}

func (c certFlags) files(metrics *expiry.Metrics) (certificate, error) {
	watcher, err := certwatcher.New(filepath.Join(c.dir, "tls.crt"), filepath.Join(c.dir, "tls.key"))
	if err != nil {
		return certificate{}, fmt.Errorf("read certificate files: %w", err)
	}
	watcher.RegisterCallback(func(served tls.Certificate) {
		metrics.SetLeaf(served.Leaf)
		metrics.CountRotation("loaded")
	})
	serve := func(config *tls.Config) {
		config.MinVersion = tls.VersionTLS13
		config.GetCertificate = watcher.GetCertificate
	}
	return certificate{tls: serve, runnable: watcher, ready: healthz.Ping}, nil
}

// serviceNames returns the DNS names of a Service. API servers use the second.
func serviceNames(service, namespace string) []string {
	return []string{service + "." + namespace, service + "." + namespace + ".svc", service + "." + namespace + ".svc.cluster.local"}
}
