package api

import (
	"slices"
	"strings"

	"github.com/nova/novawire/internal/validate"
)

// Object is a kind of object that keys are written on.
type Object string

// The objects that carry keys.
const (
	OnNamespace   Object = "Namespace"
	OnPod         Object = "Pod"
	OnService     Object = "Service"
	OnStatefulSet Object = "StatefulSet"
	OnWorkload    Object = "workload" // Deployment, StatefulSet or DaemonSet
)

// Key describes one label or annotation. docs/annotations.md holds all of them; a
// test compares the two.
type Key struct {
	Name    string
	On      Object
	Label   bool   // a label, not an annotation
	Default string // as users read it; "–" means that there is no default
	Allowed string // the accepted values, in a few words
	Meaning string
	Written bool // by the product, not by users
}

// Find returns the key with a name on one kind of object.
func Find(keys []Key, name string, on Object) (Key, bool) {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name && k.On == on })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// Nearest returns the key whose name is closest to an unknown name, as
// [Nearest] measures it, among those that users write with the same prefix up
// to the slash. It returns "" when no key is close enough.
func Nearest(keys []Key, name string) string {
	prefix, _, _ := strings.Cut(name, "/")
	var candidates []string
	for _, k := range keys {
		if p, _, _ := strings.Cut(k.Name, "/"); p == prefix && !k.Written {
			candidates = append(candidates, k.Name)
		}
	}
	return validate.Nearest(name, candidates)
}
