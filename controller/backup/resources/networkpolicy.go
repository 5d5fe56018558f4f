package resources

import (
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/clusterdns"
)

// policies allows every Job to reach DNS, the store and telemetry, and the Jobs that
// need it to reach the database. Nothing may connect to the Jobs.
func (c Config) policies(t Target) []Object {
	names := PolicyNames(t.Source)
	every := policy(t, names[0], metav1.LabelSelector{MatchLabels: SourceLabels(t.Source)}, c.outboundRules(t))
	every.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	database := policy(t, names[1], metav1.LabelSelector{
		MatchLabels:      SourceLabels(t.Source),
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: LabelVerb, Operator: metav1.LabelSelectorOpIn, Values: []string{VerbRestore, VerbRun}}},
	}, []networkingv1.NetworkPolicyEgressRule{c.databaseRule(t.Server)})
	return []Object{every, database}
}

// PolicyNames returns the names of the NetworkPolicies of a source: that of all
// Jobs and that of the Jobs which reach the database.
func PolicyNames(s backupapi.Source) [2]string {
	name := BackupName(s)
	return [2]string{name, name + "-database"}
}

func policy(t Target, name string, pods metav1.LabelSelector, rules []networkingv1.NetworkPolicyEgressRule) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: t.meta(name),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: pods, Egress: rules,
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		},
	}
}

// databaseRule allows connections to the server. Only a Secret knows the address of a
// server outside of the cluster, so any address is allowed on the configured ports.
func (c Config) databaseRule(s Server) networkingv1.NetworkPolicyEgressRule {
	rule, ports := networkingv1.NetworkPolicyEgressRule{To: s.peers}, s.ports
	if len(s.peers) == 0 && len(ports) == 0 {
		ports = c.Network.DatabasePorts
	}
	for _, port := range ports {
		rule.Ports = append(rule.Ports, tcp(port))
	}
	return rule
}

func (c Config) outboundRules(t Target) []networkingv1.NetworkPolicyEgressRule {
	udp, dns := corev1.ProtocolUDP, intstr.FromInt32(53)
	rules := []networkingv1.NetworkPolicyEgressRule{{
		To: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "kube-system"}},
			PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
		}},
		Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &dns}, tcp(53)},
	}}
	rules[0].To = append(rules[0].To, ipBlocks(c.Network.DNSCIDRs)...)
	if len(c.Network.CredentialCIDRs) > 0 {
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{
			To: ipBlocks(c.Network.CredentialCIDRs), Ports: []networkingv1.NetworkPolicyPort{tcp(80)},
		})
	}
	store := t.Request.S3Endpoint
	if store == "" {
		store = "https://s3.amazonaws.com" // STS and CloudWatch use the same port
	}
	rules = append(rules, c.endpointRule(store, t.Source.Namespace))
	if copied := t.Request.CopyS3Endpoint; copied != "" && usesCopy(t) {
		rules = append(rules, c.endpointRule(copied, t.Source.Namespace))
	}
	if c.TelemetryEndpoint != "" {
		rules = append(rules, c.endpointRule(c.TelemetryEndpoint, t.Source.Namespace))
	}
	return rules
}

// endpointRule allows connections to the host of a URL. Policies match the ports of
// pods, and a Service's port says nothing about them, so for a Service all ports of
// its namespace are allowed.
func (c Config) endpointRule(endpoint, namespace string) networkingv1.NetworkPolicyEgressRule {
	u, err := url.Parse(endpoint)
	if err != nil {
		return networkingv1.NetworkPolicyEgressRule{} // validation has refused it
	}
	if target, ok := clusterdns.ServiceNamespace(u.Hostname(), namespace); ok {
		return networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{namespacePeer(target)}}
	}
	port := map[string]int32{"http": 80, "https": 443}[u.Scheme]
	if p, err := strconv.ParseInt(u.Port(), 10, 32); err == nil {
		port = int32(p)
	}
	rule := networkingv1.NetworkPolicyEgressRule{Ports: []networkingv1.NetworkPolicyPort{tcp(port)}}
	rule.To = ipBlocks(c.Network.StoreCIDRs)
	return rule
}

func ipBlocks(cidrs []string) (peers []networkingv1.NetworkPolicyPeer) {
	for _, cidr := range cidrs {
		peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}})
	}
	return peers
}

func tcp(port int32) networkingv1.NetworkPolicyPort {
	protocol, p := corev1.ProtocolTCP, intstr.FromInt32(port)
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &p}
}
