//go:build cgo

package main

import (
	"os"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/networkpolicy"
)

// shippedPolicies returns the NetworkPolicies that select Fluent Bit.
func shippedPolicies(t *testing.T) (policies []networkingv1.NetworkPolicy) {
	t.Helper()
	text, err := os.ReadFile("../../manifests/base/logging/network-policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var p networkingv1.NetworkPolicy
		if err := yaml.UnmarshalStrict([]byte(document), &p); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, p)
	}
	return policies
}

// TestNetworkPolicy_Flows has the connections that Fluent Bit, the plugin and the agent
// open on real clusters, and some that they do not need.
func TestNetworkPolicy_Flows(t *testing.T) {
	type flow = networkpolicy.Flow
	dns := map[string]string{"k8s-app": "kube-dns"}
	policies := shippedPolicies(t)
	for name, f := range map[string]flow{
		"DNS of the cluster":                            {Address: "10.0.0.10", Namespace: "kube-system", Pod: dns, Port: 53, UDP: true},
		"DNS of the cluster, TCP":                       {Address: "10.0.0.10", Namespace: "kube-system", Pod: dns, Port: 53},
		"NodeLocal DNSCache":                            {Address: "169.254.20.10", Port: 53, UDP: true},
		"NodeLocal DNSCache, TCP":                       {Address: "169.254.20.10", Port: 53},
		"NodeLocal DNSCache, IPv6":                      {Address: "fd00::a", Port: 53, UDP: true},
		"instance metadata":                             {Address: "169.254.169.254", Port: 80},
		"instance metadata, IPv6":                       {Address: "fd00:ec2::254", Port: 80},
		"EKS Pod Identity":                              {Address: "169.254.170.23", Port: 80},
		"EKS Pod Identity, IPv6":                        {Address: "fd00:ec2::23", Port: 80},
		"STS and CloudWatch Logs":                       {Address: "52.94.0.1", Port: 443},
		"STS and CloudWatch Logs, IPv6":                 {Address: "2600:1f00::1", Port: 443},
		"CloudWatch Logs, an interface endpoint":        {Address: "10.1.2.3", Port: 443},
		"the API server of EKS":                         {Address: "10.1.9.9", Port: 443},
		"the API server of kubeadm":                     {Address: "10.1.9.9", Port: 6443},
		"the API server as a pod of the node's network": {Address: "10.1.9.9", Namespace: "kube-system", Port: 6443},
	} {
		t.Run("allowed: "+name, func(t *testing.T) {
			if !networkpolicy.Allows(policies, "novawire-logging", f) {
				t.Errorf("denied: %+v", f)
			}
		})
	}
	for name, f := range map[string]flow{
		"a service of the cluster":       {Address: "10.0.1.1", Namespace: "nova", Port: 8080},
		"a database":                     {Address: "10.0.1.2", Namespace: "nova", Port: 5432},
		"the web":                        {Address: "93.184.216.34", Port: 80},
		"a resolver outside":             {Address: "8.8.8.8", Port: 53, UDP: true},
		"other pods in kube-system":      {Address: "10.0.0.11", Namespace: "kube-system", Port: 53, UDP: true},
		"another port of the metadata":   {Address: "169.254.169.254", Port: 8080},
		"the metadata of ECS tasks":      {Address: "169.254.170.2", Port: 80},
		"the kubelet of the node":        {Address: "10.1.0.5", Port: 10250},
		"the resolver of EKS Auto Mode":  {Address: "10.9.0.1", Port: 53, UDP: true}, // docs/logs.md: a patch
		"DNS by a pod of the same label": {Address: "10.0.0.12", Namespace: "nova", Pod: dns, Port: 53, UDP: true},
	} {
		t.Run("denied: "+name, func(t *testing.T) {
			if networkpolicy.Allows(policies, "novawire-logging", f) {
				t.Errorf("allowed: %+v", f)
			}
		})
	}
}
