package inject

import "github.com/nova/novawire/internal/workload"

// ownerOf returns the workload that the pod belongs to.
func ownerOf(m *metadata) workload.Owner {
	return workload.OwnerOf(workload.Pod{Name: m.Name, GenerateName: m.GenerateName, Labels: m.Labels, Owners: m.Owners})
}
