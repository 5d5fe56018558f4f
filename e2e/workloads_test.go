//go:build e2e

package e2e

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/e2e-framework/klient/k8s"
)

const (
	appImage     = "ghcr.io/nova/e2e-app:dev"
	appContainer = "app"
)

// workloads maps each kind that owns pods to a function that builds one.
var workloads = map[string]func(namespace, name string) k8s.Object{
	"Pod":         barePod,
	"ReplicaSet":  replicaSet,
	"Deployment":  func(namespace, name string) k8s.Object { return deployment(namespace, name) },
	"StatefulSet": statefulSet,
	"DaemonSet":   daemonSet,
	"Job":         job,
	"CronJob":     cronJob,
}

func barePod(namespace, name string) k8s.Object {
	template := service(name)
	template.ObjectMeta.Name, template.ObjectMeta.Namespace = name, namespace
	return &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
}

func replicaSet(namespace, name string) k8s.Object {
	return &appsv1.ReplicaSet{ObjectMeta: meta(namespace, name), Spec: appsv1.ReplicaSetSpec{Selector: selector(name), Template: service(name)}}
}

func deployment(namespace, name string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: meta(namespace, name), Spec: appsv1.DeploymentSpec{Selector: selector(name), Template: service(name)}}
}

func statefulSet(namespace, name string) k8s.Object {
	return &appsv1.StatefulSet{ObjectMeta: meta(namespace, name), Spec: appsv1.StatefulSetSpec{Selector: selector(name), Template: service(name)}}
}

func daemonSet(namespace, name string) k8s.Object {
	return &appsv1.DaemonSet{ObjectMeta: meta(namespace, name), Spec: appsv1.DaemonSetSpec{Selector: selector(name), Template: service(name)}}
}

func job(namespace, name string) k8s.Object {
	return &batchv1.Job{ObjectMeta: meta(namespace, name), Spec: batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: work(name)}}
}

// cronJob returns a CronJob that runs every minute.
func cronJob(namespace, name string) k8s.Object {
	spec := batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: work(name)}
	return &batchv1.CronJob{ObjectMeta: meta(namespace, name), Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *", ConcurrencyPolicy: batchv1.ForbidConcurrent, JobTemplate: batchv1.JobTemplateSpec{Spec: spec},
	}}
}

// service returns the pod template of a service that runs until it is stopped.
func service(name string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(5)),
			AutomountServiceAccountToken:  new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot:   new(true),
				RunAsUser:      new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name:            appContainer,
				Image:           appImage,
				ImagePullPolicy: corev1.PullIfNotPresent,
				Ports:           []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
					HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("http")},
				}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("8Mi"),
				}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false),
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// work returns the pod template of a Job that exits at once.
func work(name string) corev1.PodTemplateSpec {
	template := service(name)
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	template.Spec.Containers[0].Args = []string{"-once"}
	template.Spec.Containers[0].ReadinessProbe = nil
	return template
}

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func selector(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
}
