package resources

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/networkpolicy"
)

func TestPolicies_Flows(t *testing.T) {
	set := setOf(t, "serviceName: s\nselector: {matchLabels: {app: db}}\ntemplate: {spec: {containers: [{name: db, image: 'postgres:17', ports: [{containerPort: 5432}]}]}}")
	kubeDNS := networkpolicy.Flow{Address: "10.0.0.10", Namespace: "kube-system", Pod: map[string]string{"k8s-app": "kube-dns"}, Port: 53, UDP: true}
	var (
		database     = networkpolicy.Flow{Address: "10.0.1.1", Namespace: "nova", Pod: map[string]string{"app": "db"}, Port: 5432}
		otherPod     = networkpolicy.Flow{Address: "10.0.1.2", Namespace: "nova", Pod: map[string]string{"app": "api"}, Port: 5432}
		nodeLocalDNS = networkpolicy.Flow{Address: "169.254.20.10", Port: 53, UDP: true}
		nodeDNS      = networkpolicy.Flow{Address: "10.9.0.1", Port: 53, UDP: true} // EKS Auto Mode: a server on the node
		podIdentity  = networkpolicy.Flow{Address: "169.254.170.23", Port: 80}
		podIdentity6 = networkpolicy.Flow{Address: "fd00:ec2::23", Port: 80}
		metadata     = networkpolicy.Flow{Address: "169.254.169.254", Port: 80}
		s3           = networkpolicy.Flow{Address: "52.218.0.1", Port: 443}
		web          = networkpolicy.Flow{Address: "93.184.216.34", Port: 80}
		store        = networkpolicy.Flow{Address: "10.0.2.1", Namespace: "storage", Port: 9000}
	)
	cases := []struct {
		name            string
		change          func(*Config)
		endpoint        string
		allowed, denied []networkpolicy.Flow
	}{
		{"the defaults", nil, "", []networkpolicy.Flow{kubeDNS, nodeLocalDNS, podIdentity, podIdentity6, s3, database}, []networkpolicy.Flow{metadata, web, nodeDNS, otherPod, store}},
		{"a store in the cluster", nil, "http://s3.storage.svc:80", []networkpolicy.Flow{store, kubeDNS, database}, []networkpolicy.Flow{s3, web}},
		{"a store on a private network", nil, "https://minio.lan:9000", []networkpolicy.Flow{{Address: "192.168.1.9", Port: 9000}}, []networkpolicy.Flow{s3, {Address: "10.0.3.1", Namespace: "lan", Port: 8080}}},
		{"the store's addresses", func(c *Config) { c.Network.StoreCIDRs = []string{"52.218.0.0/17"} }, "", []networkpolicy.Flow{s3}, []networkpolicy.Flow{{Address: "1.1.1.1", Port: 443}}},
		{"DNS on the node", func(c *Config) { c.Network.DNSCIDRs = []string{"10.9.0.0/16"} }, "", []networkpolicy.Flow{kubeDNS, nodeDNS}, []networkpolicy.Flow{nodeLocalDNS}},
		{"instance metadata", func(c *Config) { c.Network.CredentialCIDRs = []string{"169.254.169.254/32"} }, "", []networkpolicy.Flow{metadata}, []networkpolicy.Flow{podIdentity}},
		{"no credential endpoint", func(c *Config) { c.Network.CredentialCIDRs = nil }, "", []networkpolicy.Flow{s3}, []networkpolicy.Flow{podIdentity, metadata, web}},
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
			for _, o := range config.policies(targetOf(set, request)) {
				policies = append(policies, *o.(*networkingv1.NetworkPolicy))
			}
			for _, f := range c.allowed {
				if !networkpolicy.Allows(policies, "nova", f) {
					t.Errorf("denied: %+v", f)
				}
			}
			for _, f := range c.denied {
				if networkpolicy.Allows(policies, "nova", f) {
					t.Errorf("allowed: %+v", f)
				}
			}
		})
	}
}
