package main

import (
	"context"
	"crypto/x509"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/webhook/diagnosis"
)

type checkCertsFlags struct {
	cluster            clusterFlags
	namespace, service string
	address            string
	timeout            time.Duration
}

func checkCertsCommand() *cobra.Command {
	var flags checkCertsFlags
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Check that each replica serves a valid and trusted certificate",
		Long: `Reads the certificate of every ready replica of the webhook's Service and prints one line for
each check that an API server makes: whether the certificate is valid for the Service's name,
how long it remains valid, and whether the caBundle of each webhook that calls the Service
trusts it. A certificate with less than a quarter of its lifetime left should have been
renewed and is reported as a problem.

Replicas are reached by port forwarding; --address reaches one replica directly. The caller
needs the rights to list webhook configurations and endpoint slices and to forward ports to pods.

Exit codes: 0 no problem, 1 a problem was found or the cluster did not answer, 2 a wrong
command line.`,
		Args: commandline.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), flags.timeout)
			defer cancel()
			return runCheckCerts(ctx, flags, cmd.Root().DisplayName(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	flags.cluster.register(f)
	f.StringVarP(&flags.namespace, "namespace", "n", defaultNamespace, "namespace of the webhook's Service")
	f.StringVar(&flags.service, "service", defaultService, "the webhook's Service")
	f.StringVar(&flags.address, "address", "", "host:port of one replica, instead of port forwarding to all")
	f.DurationVar(&flags.timeout, "timeout", 30*time.Second, "time limit of the whole check")
	flags.cluster.completeNamespaces(cmd)
	return cmd
}

func runCheckCerts(ctx context.Context, flags checkCertsFlags, novawire string, out io.Writer) error {
	config, err := flags.cluster.connect()
	if err != nil {
		return err
	}
	cluster, err := kubernetes.New(config)
	if err != nil {
		return err
	}
	clients, err := webhookTrust(ctx, cluster, flags.namespace, flags.service)
	if err != nil {
		return err
	}
	replicas := []replica{{name: flags.address, dial: dialAddress(flags.address)}}
	if flags.address == "" {
		if replicas, err = readyReplicas(ctx, config, cluster, flags.namespace, flags.service); err != nil {
			return err
		}
	}
	found := &findings{check: "certs", programs: flags.cluster.programs(novawire)}
	checkReplicas(ctx, found, replicas, clients, flags.service+"."+flags.namespace+".svc")
	return found.finish(out, "table")
}

func checkReplicas(ctx context.Context, found *findings, replicas []replica, clients []trust, name string) {
	if len(clients) == 0 {
		found.fail("", "no webhook configuration calls %s, so it reviews nothing", name)
	}
	if len(replicas) == 0 {
		found.fail("", "%s has no ready replica", name)
	}
	checkPair(found, clients)
	for _, r := range replicas {
		chain, err := r.servedCertificates(ctx, name)
		if err != nil {
			found.fail("", "%s: %v", r.name, err)
			continue
		}
		checkChain(found, r.name, chain, clients, name, time.Now())
	}
}

// checkPair names the webhook that is missing if only one of the two configurations of an
// installation is left.
func checkPair(found *findings, clients []trust) {
	has := func(name string) bool {
		return slices.ContainsFunc(clients, func(c trust) bool { return c.name == name })
	}
	const mutating, validating = diagnosis.Webhook, "workloads.inject.nova.dev"
	switch {
	case has(validating) && !has(mutating):
		found.fail(found.programs.CreateWebhooks(), "no MutatingWebhookConfiguration has the webhook %s: no pod is wired", mutating)
	case has(mutating) && !has(validating):
		found.fail(found.programs.CreateWebhooks(), "no ValidatingWebhookConfiguration has the webhook %s: nothing warns about workloads", validating)
	}
}

// checkChain verifies the served leaf and intermediate certificates as an API server does.
func checkChain(found *findings, replica string, chain []*x509.Certificate, clients []trust, name string, now time.Time) {
	leaf, intermediates := chain[0], x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	remaining := leaf.NotAfter.Sub(now).Round(time.Second)
	switch err := leaf.VerifyHostname(name); {
	case err != nil:
		found.fail("", "%s: %v", replica, err)
	case !certs.Valid(leaf, now):
		found.fail("", "%s: valid from %s to %s only", replica, stamp(leaf.NotBefore), stamp(leaf.NotAfter))
	case remaining < leaf.NotAfter.Sub(leaf.NotBefore)/4:
		found.fail("", "%s: expires %s, in %s, and has not been renewed", replica, stamp(leaf.NotAfter), remaining)
	default:
		found.ok("%s: valid for %s until %s, for %s", replica, name, stamp(leaf.NotAfter), remaining)
	}
	for _, c := range clients {
		options := x509.VerifyOptions{DNSName: name, Roots: c.bundle.Pool(), Intermediates: intermediates, CurrentTime: now}
		if _, err := leaf.Verify(options); err != nil {
			found.fail("", "%s: not trusted by %s: %v", replica, c.webhook, err)
		} else {
			found.ok("%s: trusted by %s", replica, c.webhook)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
