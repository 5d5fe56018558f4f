// Package workload names the workload that a pod belongs to and the service
// that the pod's telemetry is reported under. Injection and the log pipeline
// both use it, so that traces, metrics and logs of one pod carry one name.
//
// It reads nothing but the pod: no API call and no look-up.
package workload

import (
	"strconv"
	"strings"
)

// Pod is the part of a pod's metadata that the rules read.
type Pod struct {
	Name         string
	GenerateName string
	Labels       map[string]string
	Owners       []OwnerReference
}

// OwnerReference is one element of metadata.ownerReferences.
type OwnerReference struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Controller bool   `json:"controller"`
}

// Owner is the workload that a pod belongs to.
type Owner struct {
	Kind string // Deployment, StatefulSet, …; "Pod" for a pod without a controller
	Name string
}

// Attribute returns the key that the OpenTelemetry semantic conventions define
// for the name of a workload of this kind, or "" if they define none.
func (o Owner) Attribute() string {
	switch o.Kind {
	case "Deployment":
		return "k8s.deployment.name"
	case "StatefulSet":
		return "k8s.statefulset.name"
	case "DaemonSet":
		return "k8s.daemonset.name"
	case "ReplicaSet":
		return "k8s.replicaset.name"
	case "Job":
		return "k8s.job.name"
	case "CronJob":
		return "k8s.cronjob.name"
	}
	return ""
}

// OwnerOf returns the workload that a pod belongs to. A controller that is
// itself controlled leaves a mark on what it makes: Deployments and Argo
// Rollouts append a hash to the name of a ReplicaSet and write the same hash
// into a label; CronJobs append the scheduled minute to the name of a Job.
func OwnerOf(p Pod) Owner {
	o := controllerOf(p.Owners)
	switch o.Kind {
	case "":
		return Owner{"Pod", podName(p)}
	case "ReplicaSet":
		if name, ok := strings.CutSuffix(o.Name, "-"+p.Labels["pod-template-hash"]); ok {
			return Owner{"Deployment", name}
		}
		if name, ok := strings.CutSuffix(o.Name, "-"+p.Labels["rollouts-pod-template-hash"]); ok {
			return Owner{"Rollout", name}
		}
	case "ReplicationController":
		if name := p.Labels["deploymentconfig"]; name != "" {
			return Owner{"DeploymentConfig", name}
		}
	case "Job":
		if name, ok := cutScheduledMinute(o.Name); ok {
			return Owner{"CronJob", name}
		}
	}
	return Owner{o.Kind, o.Name}
}

func controllerOf(owners []OwnerReference) OwnerReference {
	for _, o := range owners {
		if o.Controller {
			return o
		}
	}
	return OwnerReference{}
}

// podName returns the name of a pod without a controller. For a pod with
// generateName it is the part that the user chose.
func podName(p Pod) string {
	if p.GenerateName != "" {
		return strings.TrimSuffix(p.GenerateName, "-")
	}
	return p.Name
}

// FirstScheduledMinute is the lowest number at the end of a Job's name that is taken for the
// minute, since 1970, for which the CronJob controller created it. That naming came with
// Kubernetes 1.21, in April 2021: a smaller number, such as a date, is part of a name that
// somebody chose.
const FirstScheduledMinute = 26_900_000

func cutScheduledMinute(name string) (string, bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 1 || len(name)-i-1 != 8 {
		return name, false
	}
	minute, err := strconv.ParseUint(name[i+1:], 10, 32)
	if err != nil || minute < FirstScheduledMinute {
		return name, false
	}
	return name[:i], true
}
