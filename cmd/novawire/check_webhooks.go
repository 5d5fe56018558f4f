package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/manifests"
)

func checkWebhooksCommand() *cobra.Command {
	var flags checkFlags
	var manifest bool
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "Compare the webhook configurations with what is shipped, or print that",
		Long: `Compares the two webhook configurations of the cluster with those of this version.

With --manifest it prints them as they should be, for kubectl: with the namespace of the
manager, and with the labels, annotations and caBundles that the cluster's have. kubectl
replace also removes what somebody has added; kubectl apply --server-side creates
what is missing.

Exit codes: 0 no difference, or printed; 1 a difference was found or the cluster did not
answer; 2 a wrong command line.`,
		Example: `  novawire check webhooks
  novawire check webhooks --manifest | kubectl replace -f -`,
		Args: commandline.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !manifest {
				return flags.run(cmd, checkWebhooks)
			}
			cluster, _, err := flags.cluster.open(flags.namespace)
			if err != nil {
				return err
			}
			return writeWebhooks(cmd.Context(), cluster, flags.namespace, cmd.OutOrStdout())
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&manifest, "manifest", false, "print the configurations as they should be")
	return cmd
}

// webhookConfiguration is a MutatingWebhookConfiguration or a
// ValidatingWebhookConfiguration: the same fields, but for reinvocationPolicy.
type webhookConfiguration struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Webhooks          []admissionv1.MutatingWebhook `json:"webhooks"`
}

// shippedWebhooks returns the configurations of this version for an installation in a
// namespace.
func shippedWebhooks(namespace string) (all []webhookConfiguration, err error) {
	for _, document := range bytes.Split(manifests.Webhooks, []byte("\n---\n")) {
		var c webhookConfiguration
		if err := yaml.Unmarshal(document, &c); err != nil {
			return nil, fmt.Errorf("read the shipped webhooks: %w", err)
		}
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			w.ClientConfig.Service.Namespace = namespace
			for _, expression := range w.NamespaceSelector.MatchExpressions {
				if at := slices.Index(expression.Values, defaultNamespace); at >= 0 {
					expression.Values[at] = namespace
				}
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// installedWebhooks returns the cluster's configuration of the same kind and name, or nil.
func installedWebhooks(ctx context.Context, cluster *kubernetes.Client, c *webhookConfiguration) (*webhookConfiguration, error) {
	get := kubernetes.MutatingWebhookConfigurations.Raw
	if c.Kind == "ValidatingWebhookConfiguration" {
		get = kubernetes.ValidatingWebhookConfigurations.Raw
	}
	raw, err := get(ctx, cluster, "", c.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found webhookConfiguration
	return &found, json.Unmarshal(raw, &found)
}

// writeWebhooks prints the configurations as they should be in this cluster.
func writeWebhooks(ctx context.Context, cluster *kubernetes.Client, namespace string, out io.Writer) error {
	shipped, err := shippedWebhooks(namespace)
	if err != nil {
		return err
	}
	installed := make([]*webhookConfiguration, len(shipped))
	metadata := metav1.ObjectMeta{} // what an installer has set on the other configuration
	for i := range shipped {
		if installed[i], err = installedWebhooks(ctx, cluster, &shipped[i]); err != nil {
			return fmt.Errorf("read %s %s: %w", shipped[i].Kind, shipped[i].Name, err)
		}
		if installed[i] != nil {
			metadata = installed[i].ObjectMeta
		}
	}
	for i := range shipped {
		shipped[i].adopt(installed[i], metadata)
		text, err := yaml.Marshal(shipped[i].content())
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "---\n%s", text)
	}
	return nil
}

// adopt takes over labels, annotations and caBundles, and leaves out the webhooks of
// backups if the installation has none.
func (c *webhookConfiguration) adopt(installed *webhookConfiguration, metadata metav1.ObjectMeta) {
	if installed != nil {
		metadata = installed.ObjectMeta
	}
	labels := maps.Clone(metadata.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, c.Labels)
	c.Labels, c.Annotations = labels, maps.Clone(metadata.Annotations)
	delete(c.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	if installed == nil {
		return
	}
	for i := range c.Webhooks {
		if w := installed.webhook(c.Webhooks[i].Name); w != nil {
			c.Webhooks[i].ClientConfig.CABundle = w.ClientConfig.CABundle
		}
	}
	c.Webhooks = slices.DeleteFunc(c.Webhooks, func(w admissionv1.MutatingWebhook) bool {
		return isBackupWebhook(w.Name) && installed.webhook(w.Name) == nil
	})
}

// content returns the object without fields that only the API server sets.
func (c *webhookConfiguration) content() map[string]any {
	return map[string]any{
		"apiVersion": c.APIVersion, "kind": c.Kind, "webhooks": c.Webhooks,
		"metadata": map[string]any{"name": c.Name, "labels": c.Labels, "annotations": c.Annotations},
	}
}

func (c *webhookConfiguration) webhook(name string) *admissionv1.MutatingWebhook {
	for i := range c.Webhooks {
		if c.Webhooks[i].Name == name {
			return &c.Webhooks[i]
		}
	}
	return nil
}

// isBackupWebhook reports whether an installation without backups leaves the webhook out.
func isBackupWebhook(name string) bool { return strings.HasSuffix(name, ".backup.nova.dev") }

// checkWebhooks compares both configurations with the shipped ones.
func checkWebhooks(ctx context.Context, c *checker) {
	c.check = "webhooks"
	shipped, err := shippedWebhooks(c.in.namespace)
	if err != nil {
		c.fail("", "%v", err)
		return
	}
	policies, _ := boundPolicies(ctx, c.cluster) // a cluster that does not answer is told below
	c.checkPolicies(policies)
	for i := range shipped {
		wanted := &shipped[i]
		found, err := installedWebhooks(ctx, c.cluster, wanted)
		switch {
		case err != nil:
			c.unknown(wanted.Kind+" "+wanted.Name, err)
		case found == nil && len(policies) > 0 && wanted.Kind == "MutatingWebhookConfiguration":
			c.ok("%s %s is missing: the policy wires pods in its place", wanted.Kind, wanted.Name)
		case found == nil:
			effect := "no pod is wired"
			if wanted.Kind == "ValidatingWebhookConfiguration" {
				effect = "nothing warns about workloads, and wrong backup annotations are not refused"
			}
			c.fail(c.programs.CreateWebhooks(), "%s %s is missing: %s", wanted.Kind, wanted.Name, effect)
		default:
			c.compareWebhooks(wanted, found)
		}
	}
}

func (c *checker) compareWebhooks(wanted, found *webhookConfiguration) {
	what := found.Kind + " " + found.Name
	differences := 0
	differ := func(format string, args ...any) {
		differences++
		c.fail(c.programs.ReplaceWebhooks(), what+": "+format, args...)
	}
	for _, w := range wanted.Webhooks {
		installed := found.webhook(w.Name)
		if installed == nil {
			if isBackupWebhook(w.Name) {
				c.ok("%s: %s is not installed: the installation has no backups", what, w.Name)
			} else {
				differ("the webhook %s is missing", w.Name)
			}
			continue
		}
		for _, field := range differingFields(w, *installed) {
			differ("%s: %s is not as shipped", w.Name, field)
		}
		if len(installed.ClientConfig.CABundle) == 0 {
			c.fail(c.programs.Kubectl+" -n "+c.in.namespace+" rollout restart deployment/"+defaultService,
				"%s: %s has no caBundle, so the API server trusts no replica", what, w.Name)
			differences++
		}
	}
	for _, w := range found.Webhooks {
		if wanted.webhook(w.Name) == nil {
			differ("the webhook %s is not shipped", w.Name)
		}
	}
	if differences == 0 {
		c.ok("%s is as shipped", what)
	}
}

// differingFields names the fields of a webhook that are not as shipped. Fields that are
// not shipped have the API server's defaults.
func differingFields(wanted, found admissionv1.MutatingWebhook) (names []string) {
	defaults(&wanted)
	defaults(&found)
	if wanted.ReinvocationPolicy == nil {
		wanted.ReinvocationPolicy = found.ReinvocationPolicy // the shipped one is Never, or the kind has none
	}
	found.ClientConfig.CABundle = nil
	if found.ClientConfig.URL != nil { // a webhook outside of the cluster, or of a test
		wanted.ClientConfig = found.ClientConfig
	}
	a, b := reflect.ValueOf(wanted), reflect.ValueOf(found)
	for i := range a.NumField() {
		if reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			continue
		}
		name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// defaults sets what the API server sets in fields that are absent.
func defaults(w *admissionv1.MutatingWebhook) {
	if w.MatchPolicy == nil {
		w.MatchPolicy = new(admissionv1.Equivalent)
	}
	if w.ObjectSelector == nil {
		w.ObjectSelector = &metav1.LabelSelector{}
	}
	if w.NamespaceSelector == nil {
		w.NamespaceSelector = &metav1.LabelSelector{}
	}
	if len(w.MatchConditions) == 0 {
		w.MatchConditions = nil
	}
	if s := w.ClientConfig.Service; s != nil && s.Port == nil {
		s.Port = new(int32(443))
	}
}
