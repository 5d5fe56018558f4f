// Package clusterdns knows the names that the cluster's DNS gives to Services.
package clusterdns

import (
	"net/netip"
	"strings"
)

// ServiceNamespace returns the namespace of the Service that a host names, as seen
// from a pod of the namespace own. A Service is named by one label or by
// name.namespace.svc and what follows (Kubernetes DNS-based service discovery,
// section 2.3).
//
// A host of two labels is not a Service here, although name.namespace resolves in a
// pod: minio.storage and minio.lan look alike, and no list of domains tells a
// private one from a namespace.
func ServiceNamespace(host, own string) (namespace string, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "" || host == "localhost" {
		return "", false
	}
	labels := strings.Split(host, ".")
	switch {
	case len(labels) == 1:
		return own, true
	case len(labels) >= 3 && labels[2] == "svc":
		return labels[1], true
	}
	return "", false
}
