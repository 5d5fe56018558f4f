package record

import (
	"github.com/nova/novawire/fluentbit/msgpack"
	"github.com/nova/novawire/internal/workload"
)

// readOwners reads metadata.ownerReferences from the kubernetes filter's map.
func readOwners(b []byte) (owners []workload.OwnerReference) {
	h, rest := msgpack.Next(b)
	if h.Kind != msgpack.Array {
		return nil
	}
	for range h.N {
		owner := workload.OwnerReference{Controller: true} // old versions of the filter omit the field
		forEachMember(rest, func(key string, value []byte) {
			text, _, _ := msgpack.Text(value)
			switch head, _ := msgpack.Next(value); key {
			case "kind":
				owner.Kind = string(text)
			case "name":
				owner.Name = string(text)
			case "controller":
				owner.Controller = head.Bits == 1
			}
		})
		if owner.Name != "" {
			owners = append(owners, owner)
		}
		next, ok := msgpack.Skip(rest)
		if !ok {
			return owners
		}
		rest = next
	}
	return owners
}
