package main

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/config"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/webhook/diagnosis"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/policy"
)

// installation is Novawire in a cluster, as far as the caller may read it.
type installation struct {
	namespace  string
	deployment *appsv1.Deployment // nil if there is none, or it cannot be read
	config     config.Manager
	from       string // where the configuration was read
	engine     *inject.Engine
	notes      []string // what could not be read, and what is assumed
}

// readInstallation reads the manager and its configuration. A file replaces the
// configuration of the cluster. If the caller may not read it the defaults are assumed:
// who asks about a pod often has rights in one namespace only.
func readInstallation(ctx context.Context, cluster *kubernetes.Client, namespace, file string) (*installation, error) {
	in := &installation{namespace: namespace}
	image := ""
	deployment, err := kubernetes.Deployments.Get(ctx, cluster, namespace, defaultService)
	switch {
	case apierrors.IsNotFound(err):
		in.note("Deployment %s/%s does not exist (--system-namespace names another place)", namespace, defaultService)
	case err != nil:
		in.note("the manager cannot be read: %v", err)
	default:
		in.deployment = deployment
		image = environmentOf(deployment, config.EnvImage)
	}
	if file != "" {
		in.config, err = config.Read(file, image)
		in.from = "file " + file
	} else {
		err = in.readConfig(ctx, cluster, image)
	}
	if err != nil {
		return nil, err
	}
	in.engine, err = inject.New(in.config.Injection)
	return in, err
}

func (in *installation) note(format string, args ...any) {
	in.notes = append(in.notes, fmt.Sprintf(format, args...))
}

// readConfig reads the configuration from the ConfigMap that the manager mounts.
func (in *installation) readConfig(ctx context.Context, cluster *kubernetes.Client, image string) error {
	in.config, in.from = config.Default(image), "defaults"
	if in.deployment == nil {
		in.note("the default configuration is assumed; --config names the manager's file")
		return nil
	}
	for _, name := range configMapsOf(in.deployment) {
		found, err := kubernetes.ConfigMaps.Get(ctx, cluster, in.namespace, name)
		if err != nil {
			in.note("the default configuration is assumed, --config names the manager's file: %v", err)
			return nil
		}
		if text, ok := found.Data["config.yaml"]; ok {
			in.from = "ConfigMap " + in.namespace + "/" + name
			if err := in.config.Parse([]byte(text)); err != nil {
				return fmt.Errorf("%s: %w", in.from, err)
			}
			return nil
		}
	}
	in.note("the Deployment mounts no ConfigMap with config.yaml: the default configuration is assumed")
	return nil
}

// manager returns the state of the Deployment, nil if it is unknown.
func (in *installation) manager() *diagnosis.Manager {
	if in.deployment == nil {
		return nil
	}
	wanted := int32(1)
	if in.deployment.Spec.Replicas != nil {
		wanted = *in.deployment.Spec.Replicas
	}
	return &diagnosis.Manager{Wanted: wanted, Ready: in.deployment.Status.ReadyReplicas}
}

func environmentOf(d *appsv1.Deployment, name string) string {
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, v := range c.Env {
			if c.Name == managerContainer && v.Name == name {
				return v.Value
			}
		}
	}
	return ""
}

func configMapsOf(d *appsv1.Deployment) (names []string) {
	add := func(source *corev1.LocalObjectReference) { names = append(names, source.Name) }
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.ConfigMap != nil {
			add(&v.ConfigMap.LocalObjectReference)
		}
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ConfigMap != nil {
				add(&source.ConfigMap.LocalObjectReference)
			}
		}
	}
	return names
}

// boundPolicies returns the policies of novawire policy that have a binding. A cluster without the
// API, or a caller without the right, has none.
func boundPolicies(ctx context.Context, cluster *kubernetes.Client) ([]admissionv1.MutatingAdmissionPolicy, error) {
	ours := metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + policy.Name}
	policies, err := kubernetes.MutatingAdmissionPolicies.List(ctx, cluster, "", ours)
	if err == nil && len(policies) > 0 {
		var bindings []admissionv1.MutatingAdmissionPolicyBinding
		bindings, err = kubernetes.MutatingAdmissionPolicyBindings.List(ctx, cluster, "", ours)
		policies = slices.DeleteFunc(policies, func(p admissionv1.MutatingAdmissionPolicy) bool {
			return !slices.ContainsFunc(bindings, func(b admissionv1.MutatingAdmissionPolicyBinding) bool { return b.Spec.PolicyName == p.Name })
		})
	}
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list mutating admission policies: %w", err)
	}
	return policies, nil
}

// mutatingWebhooks returns all configurations of the cluster.
func mutatingWebhooks(ctx context.Context, cluster *kubernetes.Client) ([]admissionv1.MutatingWebhookConfiguration, error) {
	all, err := kubernetes.MutatingWebhookConfigurations.List(ctx, cluster, "", metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list mutating webhook configurations: %w", err)
	}
	return all, nil
}
