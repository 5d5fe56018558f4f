package rotator

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/certs"
)

// fieldOwner owns the caBundle fields of a configuration and nothing else.
const fieldOwner = client.FieldOwner("novawire-certs")

// configuration holds the fields of a webhook configuration that rotation needs.
type configuration struct {
	kind, name, resourceVersion string
	entries                     []entry
}

type entry struct {
	name     string
	caBundle []byte
}

// configurations reads the selected webhook configurations from the API server.
func (r *Rotator) configurations(ctx context.Context) ([]configuration, error) {
	var mutating admissionv1.MutatingWebhookConfigurationList
	if err := r.client.List(ctx, &mutating, r.Webhooks.listOptions()); err != nil {
		return nil, fmt.Errorf("list mutating webhook configurations: %w", err)
	}
	var validating admissionv1.ValidatingWebhookConfigurationList
	if err := r.client.List(ctx, &validating, r.Webhooks.listOptions()); err != nil {
		return nil, fmt.Errorf("list validating webhook configurations: %w", err)
	}
	var all []configuration
	for _, m := range mutating.Items {
		c := configuration{kind: kindMutating, name: m.Name, resourceVersion: m.ResourceVersion}
		for _, w := range m.Webhooks {
			c.entries = append(c.entries, entry{w.Name, w.ClientConfig.CABundle})
		}
		all = append(all, c)
	}
	for _, v := range validating.Items {
		c := configuration{kind: kindValidating, name: v.Name, resourceVersion: v.ResourceVersion}
		for _, w := range v.Webhooks {
			c.entries = append(c.entries, entry{w.Name, w.ClientConfig.CABundle})
		}
		all = append(all, c)
	}
	return all, nil
}

// bundles returns one bundle for each webhook of each configuration.
func bundles(configurations []configuration) (all []certs.Bundle) {
	for _, c := range configurations {
		for _, e := range c.entries {
			all = append(all, certs.ParseBundle(e.caBundle))
		}
	}
	return all
}

// publish writes the trusted authorities to every caBundle that differs.
func (r *Rotator) publish(ctx context.Context, configurations []configuration, trusted certs.Bundle) (written bool, err error) {
	text := trusted.PEM()
	for _, c := range configurations {
		if c.isPublished(text) {
			continue
		}
		if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(c.applyConfiguration(text)), fieldOwner, client.ForceOwnership); err != nil {
			return written, fmt.Errorf("publish authorities in %s %s: %w", c.kind, c.name, err)
		}
		r.Log.Info("authorities published", "kind", c.kind, "name", c.name, "authorities", len(trusted))
		if strangers := c.strangers(trusted, r.Secret); len(strangers) > 0 {
			r.Warn(ctx, ForeignAuthority, fmt.Sprintf("a caBundle of %s %s trusted authorities that the other ones do not have, and does not any more: %s", c.kind, c.name, strings.Join(strangers, ", ")))
		}
		written = true
	}
	return written, nil
}

// strangers returns the subjects of the certificates that one of the bundles held and that are
// not trusted.
func (c configuration) strangers(trusted certs.Bundle, ours string) (subjects []string) {
	for _, e := range c.entries {
		for _, certificate := range certs.ParseBundle(e.caBundle) {
			if s := certificate.Subject.String(); !trusted.Contains(certificate) && !certs.Ours(certificate, ours) && !slices.Contains(subjects, s) {
				subjects = append(subjects, s)
			}
		}
	}
	return subjects
}

func (c configuration) isPublished(text []byte) bool {
	for _, e := range c.entries {
		if !bytes.Equal(e.caBundle, text) {
			return false
		}
	}
	return true
}

// applyConfiguration returns the object to apply. It contains the caBundle of every
// entry, because an entry that is left out would lose its caBundle, and the
// resourceVersion that was read, so that a late write is refused.
func (c configuration) applyConfiguration(text []byte) *unstructured.Unstructured {
	var entries []any
	for _, e := range c.entries {
		entries = append(entries, map[string]any{
			"name":         e.name,
			"clientConfig": map[string]any{"caBundle": base64.StdEncoding.EncodeToString(text)},
		})
	}
	u := &unstructured.Unstructured{Object: map[string]any{"webhooks": entries}}
	u.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind(c.kind))
	u.SetName(c.name)
	u.SetResourceVersion(c.resourceVersion)
	return u
}
