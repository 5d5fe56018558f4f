package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strconv"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/internal/kubernetes"
)

// trust is the caBundle of one webhook.
type trust struct {
	webhook string
	bundle  certs.Bundle

	kind, configuration, name string
	index                     int // of the webhook in its configuration
}

// webhookTrust returns the caBundle of every webhook that calls the Service.
func webhookTrust(ctx context.Context, cluster *kubernetes.Client, namespace, service string) (all []trust, err error) {
	add := func(kind, configuration, name string, index int, c admissionv1.WebhookClientConfig) {
		if c.Service != nil && c.Service.Namespace == namespace && c.Service.Name == service {
			all = append(all, trust{fmt.Sprintf("%s %s, %s", kind, configuration, name), certs.ParseBundle(c.CABundle), kind, configuration, name, index})
		}
	}
	mutating, err := kubernetes.MutatingWebhookConfigurations.List(ctx, cluster, "", metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list mutating webhook configurations: %w", err)
	}
	for _, c := range mutating {
		for i, w := range c.Webhooks {
			add("MutatingWebhookConfiguration", c.Name, w.Name, i, w.ClientConfig)
		}
	}
	validating, err := kubernetes.ValidatingWebhookConfigurations.List(ctx, cluster, "", metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list validating webhook configurations: %w", err)
	}
	for _, c := range validating {
		for i, w := range c.Webhooks {
			add("ValidatingWebhookConfiguration", c.Name, w.Name, i, w.ClientConfig)
		}
	}
	return all, nil
}

// replica is one server behind the Service.
type replica struct {
	name string
	dial func(context.Context) (net.Conn, error)
}

// servedCertificates returns the certificates that the replica presents, unverified.
func (r replica) servedCertificates(ctx context.Context, name string) ([]*x509.Certificate, error) {
	conn, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	secure := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // checkChain verifies
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secure.ConnectionState().PeerCertificates, nil
}

// readyReplicas returns the ready pods of the Service.
func readyReplicas(ctx context.Context, config *rest.Config, cluster *kubernetes.Client, namespace, service string) (all []replica, err error) {
	slices, err := kubernetes.EndpointSlices.List(ctx, cluster, namespace,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	if err != nil {
		return nil, fmt.Errorf("list endpoint slices: %w", err)
	}
	for _, slice := range slices {
		port := webhookPort(slice.Ports)
		if port == 0 {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			pod, ready := endpoint.TargetRef, endpoint.Conditions.Ready
			if pod == nil || pod.Kind != "Pod" || ready != nil && !*ready {
				continue
			}
			all = append(all, replica{"pod " + pod.Name, forwardTo(config, cluster, namespace, pod.Name, port)})
		}
	}
	return all, nil
}

// webhookPortName is the name of the webhook's port in its Service. The Service has
// a port for metrics as well, in plain HTTP.
const webhookPortName = "webhook"

// webhookPort returns the webhook's port: the one with its name, the only one of a
// Service that names none, or 0.
func webhookPort(ports []discoveryv1.EndpointPort) int32 {
	for _, p := range ports {
		named := p.Name != nil && *p.Name == webhookPortName
		if p.Port != nil && (named || len(ports) == 1) {
			return *p.Port
		}
	}
	return 0
}

func dialAddress(address string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", address)
	}
}

// forwardTo connects to a port of a pod through the API server, as kubectl
// port-forward does. Forwarding ends with the context.
func forwardTo(config *rest.Config, cluster *kubernetes.Client, namespace, pod string, port int32) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		dialer, err := portforward.NewSPDYOverWebsocketDialer(cluster.PortForwardURL(namespace, pod), config)
		if err != nil {
			return nil, fmt.Errorf("forward a port: %w", err)
		}
		ready := make(chan struct{})
		forwarder, err := portforward.NewOnAddressesWithContext(ctx, dialer, []string{"127.0.0.1"},
			[]string{"0:" + strconv.Itoa(int(port))}, ready, io.Discard, io.Discard)
		if err != nil {
			return nil, fmt.Errorf("forward a port: %w", err)
		}
		ended := make(chan error, 1)
		go func() { ended <- forwarder.ForwardPorts() }()
		select {
		case err := <-ended:
			return nil, fmt.Errorf("forward a port: %w", err)
		case <-ready:
		}
		ports, err := forwarder.GetPorts()
		if err != nil {
			return nil, fmt.Errorf("forward a port: %w", err)
		}
		return dialAddress(net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))))(ctx)
	}
}
