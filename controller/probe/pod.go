package probe

import (
	"encoding/json"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
)

// syntheticPod returns a pod that satisfies the Pod Security Standard "restricted". It never
// runs: it is created as a dry run.
func syntheticPod(namespace string) *corev1.Pod {
	no, yes := false, true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "novawire-probe-", Namespace: namespace},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no,
			SecurityContext:              &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "probe", Image: "novawire-probe",
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
}

// readStatus reports whether a pod is wired, and whether a MutatingAdmissionPolicy decided about it.
func readStatus(pod *corev1.Pod) (wired, byPolicy bool) {
	var status struct{ Config, By string }
	if err := json.Unmarshal([]byte(pod.Annotations[injection.AnnotationStatus]), &status); err != nil {
		return false, false // none
	}
	return status.Config != "", status.By == "policy"
}

// whyNot returns the most likely cause for a pod that the API server admits unwired, in a word
// and with what to do about it.
func whyNot(mutating *admissionv1.MutatingWebhookConfiguration, ns *metav1.PartialObjectMetadata, manager client.ObjectKey, version func() string) (cause, text string) {
	if !injection.OptedIn(ns.Name, ns.Labels) {
		return "NotOptedIn", "namespace " + ns.Name + " is not opted in: kubectl label namespace " + ns.Name + " " + injection.LabelWiring + "=" + injection.WiringEnabled
	}
	if len(mutating.Webhooks) == 0 {
		return "NoWebhooks", "the " + kindMutating + " " + mutating.Name + " has no webhooks"
	}
	if len(mutating.Webhooks[0].ClientConfig.CABundle) == 0 {
		return "NoAuthority", "the " + kindMutating + " " + mutating.Name + " has no caBundle, so that the API server does not trust the webhook: novawire check certs"
	}
	return "NotCalled", "the API server does not reach the webhook, or does not trust it. " +
		"Look at kubectl -n " + manager.Namespace + " get endpointslices -l kubernetes.io/service-name=" + manager.Name + ", and run novawire check certs. " + network(version())
}

// network returns what usually keeps an API server from the port of the webhook.
func network(version string) string {
	switch {
	case strings.Contains(version, "-gke."):
		return "On a private GKE cluster a firewall rule has to admit the control plane to TCP port 10250 of the nodes"
	case strings.Contains(version, "-eks-"):
		return "On EKS the security group of the nodes has to admit the control plane to TCP port 10250; with another CNI than Amazon's, the control plane reaches no pod that is not on the host network"
	}
	return "A NetworkPolicy or a firewall has to admit the control plane to TCP port 10250 of the pods"
}
