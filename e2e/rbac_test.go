//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

const webhookUser = "system:serviceaccount:" + systemNamespace + ":" + webhookName

// right is a verb on a resource. It has no object name, because audit events of lists
// have none.
type right struct{ group, resource, verb string }

func (r right) String() string { return strings.TrimSuffix(r.verb+" "+r.resource+"."+r.group, ".") }

// rarelyUsed lists the rights that the tests do not exercise, with the reason for each.
var rarelyUsed = map[right]string{
	{"", "namespaces", "get"}:                        "a namespace younger than the cache",
	{"", "namespaces", "list"}:                       "an API server that does not stream lists",
	{"", "limitranges", "list"}:                      "the same",
	{"", "resourcequotas", "list"}:                   "the same",
	{"", "secrets", "list"}:                          "the same",
	{"", "serviceaccounts", "list"}:                  "the same",
	{"", "pods", "list"}:                             "the same",
	{"batch", "jobs", "list"}:                        "the same",
	{"networking.k8s.io", "networkpolicies", "list"}: "the same",
	{"postgresql.cnpg.io", "clusters", "list"}:       "the cluster has no CloudNativePG",
	{"acid.zalan.do", "postgresqls", "list"}:         "the cluster has no Zalando operator",
	{"events.k8s.io", "events", "patch"}:             "an event that repeats is counted, after minutes",
	{"", "events", "patch"}:                          "the same, of a Lease",
}

// Least privilege in both directions: no call of the webhook was refused, and it has no
// right that it did not use.
func TestRBAC(t *testing.T) {
	t.Parallel()
	if _, err := auditLog(t); err != nil {
		prerequisite.Skip(t, "the API server keeps no audit log that can be read: %v; `make e2e` makes a cluster with one", err)
	}
	n := inNamespace(t, true)
	mistaken := deployment(n.name, "mistaken")
	mistaken.Spec.Template.Annotations = map[string]string{injection.AnnotationTraceSampling: "2"}
	n.create(mistaken) // causes a warning here and an Event on its ReplicaSet

	granted := grantedRights(t)
	var refused, unused []string
	// Most rights are used by the tests that run beside this one.
	err := poll(t, 12*time.Minute, func(context.Context) (bool, error) {
		used, denied, err := usedRights(t)
		refused, unused = denied, nil
		for _, r := range granted {
			if !used[r] && rarelyUsed[r] == "" {
				unused = append(unused, r.String())
			}
		}
		return len(unused) == 0, err
	})
	if err != nil {
		t.Errorf("granted but not used: %s (%v)", strings.Join(unused, ", "), err)
	}
	if len(refused) > 0 {
		t.Errorf("refused: %s", strings.Join(refused, ", "))
	}
}

// grantedRights returns the rights of the webhook's service account.
func grantedRights(t *testing.T) (granted []right) {
	t.Helper()
	for _, rule := range boundRules(t) {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					granted = append(granted, right{group, resource, verb})
				}
			}
		}
	}
	if len(granted) == 0 {
		t.Fatal("the webhook has no rights at all")
	}
	return granted
}

func boundRules(t *testing.T) (rules []rbacv1.PolicyRule) {
	t.Helper()
	cluster := resourcesIn(t, "")
	ours := func(subjects []rbacv1.Subject) bool {
		return slices.Contains(subjects, rbacv1.Subject{Kind: "ServiceAccount", Namespace: systemNamespace, Name: webhookName})
	}
	var everywhere rbacv1.ClusterRoleBindingList
	var somewhere rbacv1.RoleBindingList
	if err := errors.Join(cluster.List(t.Context(), &everywhere), cluster.List(t.Context(), &somewhere)); err != nil {
		t.Fatal(err)
	}
	for _, b := range everywhere.Items {
		var role rbacv1.ClusterRole
		if ours(b.Subjects) {
			if err := cluster.Get(t.Context(), b.RoleRef.Name, "", &role); err != nil {
				t.Fatal(err)
			}
			rules = append(rules, role.Rules...)
		}
	}
	for _, b := range somewhere.Items {
		var role rbacv1.Role
		if ours(b.Subjects) {
			if err := cluster.Get(t.Context(), b.RoleRef.Name, b.Namespace, &role); err != nil {
				t.Fatal(err)
			}
			rules = append(rules, role.Rules...)
		}
	}
	return rules
}

// usedRights returns the rights in the audit log that the webhook used, and the refused
// calls.
func usedRights(t *testing.T) (used map[right]bool, denied []string, err error) {
	text, err := auditLog(t)
	if err != nil {
		return nil, nil, err
	}
	used = map[right]bool{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		var event struct {
			Verb      string
			User      struct{ Username string }
			ObjectRef *struct{ APIGroup, Resource, Subresource, Name string }
			Status    struct {
				Code    int
				Details struct {
					Causes []struct{ Reason string }
				}
			} `json:"responseStatus"`
		}
		if json.Unmarshal(lines.Bytes(), &event) != nil || event.ObjectRef == nil || event.User.Username != webhookUser {
			continue // an incomplete line, or a path that is not a resource
		}
		r := right{event.ObjectRef.APIGroup, event.ObjectRef.Resource, event.Verb}
		if event.ObjectRef.Subresource != "" {
			r.resource += "/" + event.ObjectRef.Subresource
		}
		used[r] = true
		if r.verb == "patch" && event.Status.Code == 201 { // an apply that creates needs both rights
			used[right{r.group, r.resource, "create"}] = true
		}
		if causes := event.Status.Details.Causes; len(causes) > 0 && causes[0].Reason == string(corev1.NamespaceTerminatingCause) {
			continue // no right would have helped
		}
		if call := fmt.Sprint(r, " ", event.ObjectRef.Name); event.Status.Code == 403 && !slices.Contains(denied, call) {
			denied = append(denied, call)
		}
	}
	return used, denied, lines.Err()
}

// auditLog reads the audit log through the kubelet, which serves the node's /var/log.
func auditLog(t *testing.T) (string, error) {
	t.Helper()
	var nodes corev1.NodeList
	if err := resourcesIn(t, "").List(t.Context(), &nodes, resources.WithLabelSelector("node-role.kubernetes.io/control-plane")); err != nil {
		return "", err
	}
	if len(nodes.Items) == 0 {
		return "", fmt.Errorf("no control plane node")
	}
	path := "/api/v1/nodes/" + nodes.Items[0].Name + "/proxy/logs/kubernetes/audit.log"
	out, err := exec.CommandContext(t.Context(), "kubectl", "--kubeconfig", testenv.EnvConf().KubeconfigFile(), "get", "--raw", path).Output()
	return string(out), err
}
