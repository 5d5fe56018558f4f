package kubernetes

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/internal/workload"
)

// OwnerOf returns the workload that a pod belongs to, by the rule of injection.
func OwnerOf(pod *metav1.ObjectMeta) workload.Owner {
	p := workload.Pod{Name: pod.Name, GenerateName: pod.GenerateName, Labels: pod.Labels}
	for _, o := range pod.OwnerReferences {
		p.Owners = append(p.Owners, workload.OwnerReference{Kind: o.Kind, Name: o.Name, Controller: o.Controller != nil && *o.Controller})
	}
	return workload.OwnerOf(p)
}
