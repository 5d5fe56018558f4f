package main

import (
	"bytes"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/controller/probe"
	"github.com/nova/novawire/manifests"
)

// probeOptions returns nil if no namespace is named for the synthetic pods.
func probeOptions(flags managerFlags, m *probe.Metrics) (*probe.Options, error) {
	if flags.probeNamespace == "" {
		return nil, nil
	}
	o := &probe.Options{
		Namespace: flags.probeNamespace, Configuration: flags.certs.configuration,
		Manager:  client.ObjectKey{Namespace: flags.certs.namespace, Name: defaultService},
		Interval: probe.Interval, Retry: probe.Retry, Metrics: m,
	}
	if !flags.restore {
		return o, nil
	}
	o.RestoreAfter = probe.RestoreAfter
	if flags.certs.mode != certSelf { // who writes the caBundle is not known
		return o, nil
	}
	var err error
	o.Shipped, err = shippedWebhooks(flags.certs)
	return o, err
}

// shippedWebhooks returns the webhook configurations of this version, by kind, for this
// installation. The rotator of the certificates adds the caBundles.
func shippedWebhooks(flags certFlags) (map[string]client.Object, error) {
	mutating, validating := &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}
	documents := bytes.Split(manifests.Webhooks, []byte("\n---\n"))
	for i, into := range []any{mutating, validating} {
		if i >= len(documents) {
			return nil, fmt.Errorf("read the shipped webhooks: %d documents", len(documents))
		}
		if err := yaml.Unmarshal(documents[i], into); err != nil {
			return nil, fmt.Errorf("read the shipped webhooks: %w", err)
		}
	}
	mutating.Name, validating.Name = flags.configuration, flags.configuration
	adapt := func(service *admissionv1.ServiceReference, selector *metav1.LabelSelector) {
		service.Namespace, service.Name = flags.namespace, flags.service
		for _, expression := range selector.MatchExpressions {
			if at := slices.Index(expression.Values, defaultNamespace); at >= 0 {
				expression.Values[at] = flags.namespace
			}
		}
	}
	for i := range mutating.Webhooks {
		adapt(mutating.Webhooks[i].ClientConfig.Service, mutating.Webhooks[i].NamespaceSelector)
	}
	for i := range validating.Webhooks {
		adapt(validating.Webhooks[i].ClientConfig.Service, validating.Webhooks[i].NamespaceSelector)
	}
	return map[string]client.Object{mutating.Kind: mutating, validating.Kind: validating}, nil
}
