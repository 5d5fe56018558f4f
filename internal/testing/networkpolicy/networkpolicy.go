// Package networkpolicy evaluates the egress rules of NetworkPolicies as their API
// defines them, so that a test can say which connections a pod can open.
package networkpolicy

import (
	"net"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Flow is a connection that a pod opens. An address of the cluster's pods has the
// labels of the pod and the name of its namespace.
type Flow struct {
	Address, Namespace string
	Pod                map[string]string
	Port               int32
	UDP                bool
}

// Allows reports whether one of the policies allows a flow from a pod that all of them
// select, in the namespace own.
func Allows(policies []networkingv1.NetworkPolicy, own string, f Flow) bool {
	for i := range policies {
		for _, rule := range policies[i].Spec.Egress {
			if allowsPort(rule.Ports, f) && allowsPeer(rule.To, own, f) {
				return true
			}
		}
	}
	return false
}

func allowsPort(ports []networkingv1.NetworkPolicyPort, f Flow) bool {
	for _, p := range ports {
		udp := p.Protocol != nil && *p.Protocol == corev1.ProtocolUDP
		if p.Port.IntVal == f.Port && udp == f.UDP {
			return true
		}
	}
	return len(ports) == 0
}

func allowsPeer(peers []networkingv1.NetworkPolicyPeer, own string, f Flow) bool {
	for _, p := range peers {
		if p.IPBlock != nil {
			if inBlock(*p.IPBlock, f.Address) {
				return true
			}
			continue
		}
		if f.Namespace == "" || p.NamespaceSelector == nil && f.Namespace != own {
			continue
		}
		namespace := map[string]string{corev1.LabelMetadataName: f.Namespace}
		if matches(p.NamespaceSelector, namespace) && matches(p.PodSelector, f.Pod) {
			return true
		}
	}
	return len(peers) == 0
}

func inBlock(b networkingv1.IPBlock, address string) bool {
	in := func(cidr string) bool {
		_, block, err := net.ParseCIDR(cidr)
		return err == nil && block.Contains(net.ParseIP(address))
	}
	for _, except := range b.Except {
		if in(except) {
			return false
		}
	}
	return in(b.CIDR)
}

// matches reports whether a selector selects a set of labels. Without a selector, all
// are selected.
func matches(s *metav1.LabelSelector, set map[string]string) bool {
	if s == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}
