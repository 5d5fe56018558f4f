// Package samplepod returns pods for benchmarks, in the form in which an API server
// sends them for admission: with defaults, an owner and managed fields.
package samplepod

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Small returns the pod of a service with one container, about 2.8 KB.
func Small() []byte { return pod(1, 3) }

// ManyContainers returns a pod with six containers, about 8.5 KB.
func ManyContainers() []byte { return pod(6, 3) }

// ThousandVariables returns a pod with one container of a thousand variables, about 50 KB.
func ThousandVariables() []byte { return pod(1, 1000) }

func pod(containers, variables int) []byte {
	yes, seconds := true, int64(30)
	managed := new(metav1.FieldsV1)
	managed.SetRawBytes([]byte(`{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}},"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"user-service-0\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{}}}}}`))
	p := corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "user-service-7d9c6bdf4b-",
			Namespace:    "nova",
			Labels:       map[string]string{"app": "user-service", "app.kubernetes.io/part-of": "nova", "pod-template-hash": "7d9c6bdf4b"},
			Annotations:  map[string]string{"kubectl.kubernetes.io/restartedAt": "2026-11-20T08:00:00Z"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "user-service-7d9c6bdf4b",
				UID: "5a0f5e0e-6a77-4a6a-9f5b-3a3c5a1d2b10", Controller: &yes, BlockOwnerDeletion: &yes,
			}},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1",
				FieldsV1: managed,
			}},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: "Always", TerminationGracePeriodSeconds: &seconds, DNSPolicy: "ClusterFirst",
			ServiceAccountName: "default", SecurityContext: &corev1.PodSecurityContext{}, SchedulerName: "default-scheduler",
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds}},
		},
	}
	for i := range containers {
		p.Spec.Containers = append(p.Spec.Containers, container(i, variables))
	}
	raw, err := json.Marshal(p)
	if err != nil {
		panic("a pod is always JSON: " + err.Error())
	}
	return raw
}

func container(i, variables int) corev1.Container {
	probe := corev1.Probe{TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3}
	live, ready := probe, probe
	live.HTTPGet = &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromString("http"), Scheme: "HTTP"}
	ready.HTTPGet = &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("http"), Scheme: "HTTP"}
	c := corev1.Container{
		Name:  fmt.Sprintf("user-service-%d", i),
		Image: "ghcr.io/nova/user-service:1.14.2",
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}, {Name: "metrics", ContainerPort: 9090, Protocol: "TCP"}},
		Resources: corev1.ResourceRequirements{
			Limits:   corev1.ResourceList{"memory": resource.MustParse("256Mi")},
			Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
		},
		VolumeMounts:  []corev1.VolumeMount{{Name: "kube-api-access-8x7kq", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
		LivenessProbe: &live, ReadinessProbe: &ready,
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File", ImagePullPolicy: "IfNotPresent",
	}
	for v := range variables {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", v), Value: "some value"})
	}
	return c
}
