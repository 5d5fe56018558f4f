package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/version"
)

// checkAll runs every check, from the cluster to the namespaces.
func checkAll(ctx context.Context, c *checker) {
	if !c.checkServer(ctx) {
		return // every other check would report the same
	}
	c.checkManager()
	checkWebhooks(ctx, c)
	c.checkCertificates(ctx)
	c.checkRights(ctx)
	c.checkDefinitions(ctx)
	c.checkPods(ctx)
	c.checkSecrets(ctx)
	c.checkVersions(ctx)
}

// checkServer compares the version of the API server with what the installation needs.
// It reports whether the server answers.
func (c *checker) checkServer(ctx context.Context) bool {
	c.check = "server"
	server, err := c.cluster.ServerVersion(ctx)
	if err != nil {
		c.fail(fixNoAnswer, "the API server does not answer: %v", err)
		return false
	}
	var major, minor, configured int
	if _, err := fmt.Sscanf(strings.TrimPrefix(c.in.config.Injection.KubernetesVersion, "v"), "1.%d", &configured); err != nil {
		configured = 0 // the configuration was validated
	}
	if _, err := fmt.Sscanf(server, "v%d.%d", &major, &minor); err != nil {
		c.warn("", "the API server has the version %q, which is not a version of Kubernetes", server)
		return true
	}
	fix := fmt.Sprintf("set injection.kubernetesVersion: %q in the configuration", fmt.Sprintf("%d.%d", major, minor))
	switch {
	case major == 1 && minor < 30:
		c.fail("upgrade the cluster to Kubernetes 1.30 or later", "the API server has %s; match conditions and native sidecars need 1.30", server)
	case minor < 29 && configured >= 29:
		c.fail(fix, "the configuration says Kubernetes 1.%d, and the API server has %s: it knows no native sidecars", configured, server)
	case minor >= 29 && configured < 29:
		c.warn(fix, "the configuration says Kubernetes 1.%d, and the API server has %s: sidecars are not native, so Jobs get none", configured, server)
	default:
		c.ok("Kubernetes %s", server)
	}
	return true
}

// checkManager reports what is known about the Deployment.
func (c *checker) checkManager() {
	c.check = "manager"
	for _, note := range c.in.notes {
		c.warn("", "%s", note)
	}
	m := c.in.manager()
	if m == nil {
		return
	}
	switch scale := c.programs.Kubectl + " -n " + c.in.namespace + " scale deployment/" + defaultService + " --replicas=2"; {
	case m.Wanted == 0:
		c.fail(scale, "the manager is scaled to zero: no pod is wired")
	case m.Ready == 0:
		c.fail(c.programs.Kubectl+" -n "+c.in.namespace+" describe pods -l app.kubernetes.io/name="+defaultService, "no replica of the manager is ready: no pod is wired")
	case m.Ready < m.Wanted:
		c.warn(c.programs.Kubectl+" -n "+c.in.namespace+" get pods", "%d of %d replicas of the manager are ready", m.Ready, m.Wanted)
	case m.Wanted == 1:
		c.warn(scale, "the manager has one replica: while it restarts, pods start without wiring")
	default:
		c.ok("%d of %d replicas are ready", m.Ready, m.Wanted)
	}
}

// checkCertificates is `check certs`, and compares the caBundles with each other.
func (c *checker) checkCertificates(ctx context.Context) {
	c.check = "certs"
	clients, err := webhookTrust(ctx, c.cluster, c.in.namespace, defaultService)
	if err != nil {
		c.unknown("trust", err)
		return
	}
	replicas, err := readyReplicas(ctx, c.connection, c.cluster, c.in.namespace, defaultService)
	if err != nil {
		c.unknown("replicas", err)
		return
	}
	checkReplicas(ctx, c.findings, replicas, clients, defaultService+"."+c.in.namespace+".svc")
	checkForeignAuthorities(c.findings, clients)
}

// checkForeignAuthorities names authorities that one webhook trusts and others do not. A
// rotation publishes a new one everywhere within seconds.
func checkForeignAuthorities(f *findings, clients []trust) {
	for _, client := range clients {
		for _, authority := range client.bundle {
			if slices.ContainsFunc(clients, func(other trust) bool { return len(other.bundle) > 0 && !other.bundle.Contains(authority) }) {
				// The manager publishes its authority where the caBundle is missing.
				fix := fmt.Sprintf(`%s patch %s %s --type=json -p '[{"op":"remove","path":"/webhooks/%d/clientConfig/caBundle"}]'`,
					f.programs.Kubectl, strings.ToLower(client.kind), client.configuration, client.index)
				f.fail(fix, "the caBundle of %s has an authority that another webhook does not have: %s, valid until %s; if a rotation is running, it will be gone in a minute",
					client.webhook, authority.Subject, stamp(authority.NotAfter))
			}
		}
	}
}

// checkDefinitions looks for the custom resource definitions of optional parts.
func (c *checker) checkDefinitions(ctx context.Context) {
	c.check = "crds"
	for _, d := range []struct{ name, effect string }{
		{"servicemonitors.monitoring.coreos.com", "Services of wired pods get no ServiceMonitor; Prometheus can scrape by annotation"},
		{"prometheusrules.monitoring.coreos.com", "the alerts are not installed; infra/prometheus has them as a rule file"},
	} {
		_, err := kubernetes.Definitions.Metadata(ctx, c.cluster, "", d.name)
		switch {
		case apierrors.IsNotFound(err):
			c.warn("install the Prometheus Operator, if you want them", "%s is not installed: %s", d.name, d.effect)
		case err != nil:
			c.unknown(d.name, err)
		default:
			c.ok("%s is installed", d.name)
		}
	}
}

// checkVersions compares the versions of the programs.
func (c *checker) checkVersions(ctx context.Context) {
	c.check = "versions"
	v := versions{Client: version.String()}
	if err := v.read(ctx, c.cluster, c.in.namespace); err != nil {
		c.unknown("versions", err)
		return
	}
	for _, note := range v.Notes {
		c.warn("", "%s", note)
	}
	if len(v.Notes) == 0 {
		c.ok("client %s, manager %s: no difference needs attention", v.Client, orDash(v.Manager))
	}
}
