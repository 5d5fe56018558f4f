package resources

import (
	"net"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	backupapi "github.com/nova/novawire/api/backup"
)

// flow is a connection that a backup pod opens. An address of the cluster's pods has
// the labels of the pod and the name of its namespace.
type flow struct {
	address, namespace string
	pod                map[string]string
	port               int32
	udp                bool
}

// allows evaluates the egress rules of policies as the NetworkPolicy API defines them.
func allows(policies []networkingv1.NetworkPolicy, own string, f flow) bool {
	for _, p := range policies {
		for _, rule := range p.Spec.Egress {
			if allowsPort(rule.Ports, f) && allowsPeer(rule.To, own, f) {
				return true
			}
		}
	}
	return false
}

func allowsPort(ports []networkingv1.NetworkPolicyPort, f flow) bool {
	for _, p := range ports {
		if p.Port.IntVal == f.port && (*p.Protocol == corev1.ProtocolUDP) == f.udp {
			return true
		}
	}
	return len(ports) == 0
}

func allowsPeer(peers []networkingv1.NetworkPolicyPeer, own string, f flow) bool {
	matches := func(s *metav1.LabelSelector, set map[string]string) bool {
		selector, err := metav1.LabelSelectorAsSelector(s)
		return err == nil && selector.Matches(labels.Set(set))
	}
	for _, p := range peers {
		if p.IPBlock != nil {
			if _, block, err := net.ParseCIDR(p.IPBlock.CIDR); err == nil && block.Contains(net.ParseIP(f.address)) {
				return true
			}
			continue
		}
		if f.namespace == "" || p.NamespaceSelector == nil && f.namespace != own {
			continue
		}
		namespace := map[string]string{corev1.LabelMetadataName: f.namespace}
		if (p.NamespaceSelector == nil || matches(p.NamespaceSelector, namespace)) && (p.PodSelector == nil || matches(p.PodSelector, f.pod)) {
			return true
		}
	}
	return len(peers) == 0
}

func TestPolicies_Flows(t *testing.T) {
	set := setOf(t, "serviceName: s\nselector: {matchLabels: {app: db}}\ntemplate: {spec: {containers: [{name: db, image: 'postgres:17', ports: [{containerPort: 5432}]}]}}")
	kubeDNS := flow{address: "10.0.0.10", namespace: "kube-system", pod: map[string]string{"k8s-app": "kube-dns"}, port: 53, udp: true}
	var (
		database     = flow{address: "10.0.1.1", namespace: "nova", pod: map[string]string{"app": "db"}, port: 5432}
		otherPod     = flow{address: "10.0.1.2", namespace: "nova", pod: map[string]string{"app": "api"}, port: 5432}
		nodeLocalDNS = flow{address: "169.254.20.10", port: 53, udp: true}
		nodeDNS      = flow{address: "10.9.0.1", port: 53, udp: true} // EKS Auto Mode: a server on the node
		podIdentity  = flow{address: "169.254.170.23", port: 80}
		podIdentity6 = flow{address: "fd00:ec2::23", port: 80}
		metadata     = flow{address: "169.254.169.254", port: 80}
		s3           = flow{address: "52.218.0.1", port: 443}
		web          = flow{address: "93.184.216.34", port: 80}
		store        = flow{address: "10.0.2.1", namespace: "storage", port: 9000}
	)
	cases := []struct {
		name            string
		change          func(*Config)
		endpoint        string
		allowed, denied []flow
	}{
		{"the defaults", nil, "", []flow{kubeDNS, nodeLocalDNS, podIdentity, podIdentity6, s3, database}, []flow{metadata, web, nodeDNS, otherPod, store}},
		{"a store in the cluster", nil, "http://s3.storage.svc:80", []flow{store, kubeDNS, database}, []flow{s3, web}},
		{"a store on a private network", nil, "https://minio.lan:9000", []flow{{address: "192.168.1.9", port: 9000}}, []flow{s3, {address: "10.0.3.1", namespace: "lan", port: 8080}}},
		{"the store's addresses", func(c *Config) { c.Network.StoreCIDRs = []string{"52.218.0.0/17"} }, "", []flow{s3}, []flow{{address: "1.1.1.1", port: 443}}},
		{"DNS on the node", func(c *Config) { c.Network.DNSCIDRs = []string{"10.9.0.0/16"} }, "", []flow{kubeDNS, nodeDNS}, []flow{nodeLocalDNS}},
		{"instance metadata", func(c *Config) { c.Network.CredentialCIDRs = []string{"169.254.169.254/32"} }, "", []flow{metadata}, []flow{podIdentity}},
		{"no credential endpoint", func(c *Config) { c.Network.CredentialCIDRs = nil }, "", []flow{s3}, []flow{podIdentity, metadata, web}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config := DefaultConfig()
			if c.change != nil {
				c.change(&config)
			}
			request := backupapi.DefaultRequest()
			request.S3Endpoint = c.endpoint
			var policies []networkingv1.NetworkPolicy
			for _, o := range config.policies(Target{StatefulSet: set, Request: request}) {
				policies = append(policies, *o.(*networkingv1.NetworkPolicy))
			}
			for _, f := range c.allowed {
				if !allows(policies, "nova", f) {
					t.Errorf("denied: %+v", f)
				}
			}
			for _, f := range c.denied {
				if allows(policies, "nova", f) {
					t.Errorf("allowed: %+v", f)
				}
			}
		})
	}
}
