package wire

import (
	"bytes"
	"slices"
)

// isOrigin reports whether an attribute of a resource says where telemetry comes from, and
// there is a rule that cannot be read, which must not hide it.
func (r *Redactor) isOrigin(pair []byte) bool {
	if r.readable == nil {
		return false
	}
	key := lastField(pair, 1)
	return slices.Contains(r.own, string(key)) || isOriginKey(key)
}

// isOriginKey knows the attributes of services, deployments and Kubernetes, but not those
// that hold what people wrote on an object.
func isOriginKey(key []byte) bool {
	switch {
	case bytes.HasPrefix(key, []byte("service.")), bytes.HasPrefix(key, []byte("deployment.environment")):
		return true
	case bytes.HasPrefix(key, []byte("k8s.")):
		return !bytes.Contains(key, []byte(".label")) && !bytes.Contains(key, []byte(".annotation"))
	}
	return false
}

// originPair redacts an attribute by the rules that can be read alone.
func (r *Redactor) originPair(start, lengthAt, from, stop int) {
	all := r.rules
	r.rules, r.readable.Counts = r.readable, all.Counts
	r.pair(start, lengthAt, from, stop)
	r.rules, all.Counts = all, r.readable.Counts
}
