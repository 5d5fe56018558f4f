// Package clusterdns knows the names that the cluster's DNS gives to Services.
package clusterdns

import (
	"net/netip"
	"strings"
)

// ServiceNamespace tells the namespace of the Service that a host names, in any
// of the forms that resolve in a pod of the namespace own: name, name.namespace,
// name.namespace.svc, and what is longer (Kubernetes DNS-based service discovery,
// section 2.3). Two labels may be a name of the world as well; those that end as
// public or private domains commonly do are taken as such.
func ServiceNamespace(host, own string) (namespace string, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "" || host == "localhost" {
		return "", false
	}
	switch labels := strings.Split(host, "."); {
	case len(labels) == 1:
		return own, true
	case len(labels) == 2:
		return labels[1], !isTopLevel(labels[1])
	default:
		return labels[1], labels[2] == "svc"
	}
}

func isTopLevel(label string) bool {
	switch label {
	case "com", "org", "net", "io", "dev", "cloud", "local", "internal", "localhost":
		return true
	}
	return false
}
