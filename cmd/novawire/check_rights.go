package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/manifests"
)

// right is one verb on one resource.
type right struct{ group, resource, verb, name, namespace string }

func (r right) String() string {
	text := r.verb + " " + r.resource
	if r.group != "" {
		text += "." + r.group
	}
	if r.name != "" {
		text += " " + r.name
	}
	return text
}

func (r right) attributes() *authorizationv1.ResourceAttributes {
	return &authorizationv1.ResourceAttributes{Group: r.group, Resource: r.resource, Verb: r.verb, Name: r.name, Namespace: r.namespace}
}

// shippedRights returns what the rules of manifests grant. Roles apply in the namespace of
// the manager.
func shippedRights(namespace string, manifest []byte) (all []right, err error) {
	for _, document := range bytes.Split(manifest, []byte("\n---\n")) {
		var role rbacv1.Role // a ClusterRole has the same rules
		if err := yaml.Unmarshal(document, &role); err != nil {
			return nil, fmt.Errorf("read the shipped rights: %w", err)
		}
		in := ""
		switch role.Kind {
		case "ClusterRole":
		case "Role":
			in = namespace
		default:
			continue
		}
		for _, rule := range role.Rules {
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						for _, name := range names {
							all = append(all, right{group, resource, verb, name, in})
						}
					}
				}
			}
		}
	}
	return all, nil
}

// checkRights asks the API server for the rights of the manager and of the caller.
func (c *checker) checkRights(ctx context.Context) {
	c.check = "rights"
	c.checkManagerRights(ctx)
	for _, needed := range []struct {
		right
		without string
	}{
		{right{resource: "pods", verb: "list"}, "status and explain of workloads do not work"},
		{right{resource: "pods", verb: "create"}, "explain and check cannot try whether a pod is wired"},
		{right{resource: "pods/portforward", verb: "create", namespace: c.in.namespace}, "check certs cannot connect to the replicas"},
		{right{group: "batch", resource: "jobs", verb: "create"}, "backup list, verify and restore do not work"},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"},
			Spec:     authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: needed.attributes()},
		}
		answer, err := kubernetes.SelfSubjectAccessReviews.Create(ctx, c.cluster, "", review)
		switch {
		case err != nil:
			c.unknown("your right to "+needed.String(), err)
		case !answer.Status.Allowed:
			c.warn("ask for the right to "+needed.String(), "you may not %s: %s", needed.right, needed.without)
		default:
			c.ok("you may %s", needed.right)
		}
	}
}

// checkManagerRights compares the rights of the manager's service account with the
// shipped ones.
func (c *checker) checkManagerRights(ctx context.Context) {
	account := "system:serviceaccount:" + c.in.namespace + ":" + c.in.serviceAccount()
	manifest := manifests.Rights
	if c.in.hasControllers() {
		manifest = bytes.Join([][]byte{manifests.Rights, manifests.BackupRights}, []byte("\n---\n"))
	}
	rights, err := shippedRights(c.in.namespace, manifest)
	if err != nil {
		c.fail("", "%v", err)
		return
	}
	var missing []string
	for _, needed := range rights {
		review := &authorizationv1.SubjectAccessReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"},
			Spec:     authorizationv1.SubjectAccessReviewSpec{User: account, ResourceAttributes: needed.attributes()},
		}
		review.Spec.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + c.in.namespace, "system:authenticated"}
		answer, err := kubernetes.SubjectAccessReviews.Create(ctx, c.cluster, "", review)
		if err != nil {
			c.unknown("rights of the manager", err)
			return
		}
		if !answer.Status.Allowed {
			missing = append(missing, needed.String())
		}
	}
	if len(missing) > 0 {
		c.fail("install the ClusterRoles and Roles again: helm upgrade, or kubectl apply --server-side -k of your overlay (docs/install.md)",
			"the manager (%s) lacks %s: %s", account, count(len(missing), "right"), strings.Join(missing, ", "))
		return
	}
	c.ok("the manager has all %d rights", len(rights))
}

// serviceAccount returns the manager's.
func (in *installation) serviceAccount() string {
	if in.deployment != nil && in.deployment.Spec.Template.Spec.ServiceAccountName != "" {
		return in.deployment.Spec.Template.Spec.ServiceAccountName
	}
	return defaultService
}

// hasControllers reports whether the manager runs the controllers of backups.
func (in *installation) hasControllers() bool {
	if in.deployment == nil {
		return true
	}
	for _, container := range in.deployment.Spec.Template.Spec.Containers {
		for _, argument := range container.Args {
			if container.Name == managerContainer && argument == "--controllers=false" {
				return false
			}
		}
	}
	return true
}
