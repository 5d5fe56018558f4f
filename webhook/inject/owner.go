package inject

import (
	"strconv"
	"strings"
)

// Owner is the workload that a pod belongs to.
type Owner struct {
	Kind string // Deployment, StatefulSet, …; "Pod" where nothing owns it
	Name string
}

// attribute is the semantic convention's key for the workload's name, and ""
// for kinds it has none for.
func (o Owner) attribute() string {
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

// ownerOf names the workload from the pod alone, without a look-up. A
// controller of controllers leaves its mark on what it makes: Deployments and
// Argo Rollouts name a ReplicaSet after the hash that they also put into a
// label, CronJobs name a Job after the minute it was due.
func ownerOf(m *metadata) Owner {
	o := controllerOf(m)
	switch o.Kind {
	case "":
		return Owner{"Pod", bareName(m)}
	case "ReplicaSet":
		if name, ok := strings.CutSuffix(o.Name, "-"+m.Labels["pod-template-hash"]); ok {
			return Owner{"Deployment", name}
		}
		if name, ok := strings.CutSuffix(o.Name, "-"+m.Labels["rollouts-pod-template-hash"]); ok {
			return Owner{"Rollout", name}
		}
	case "ReplicationController":
		if name := m.Labels["deploymentconfig"]; name != "" {
			return Owner{"DeploymentConfig", name}
		}
	case "Job":
		if name, ok := cutScheduledMinute(o.Name); ok {
			return Owner{"CronJob", name}
		}
	}
	return Owner{o.Kind, o.Name}
}

func controllerOf(m *metadata) ownerReference {
	for _, o := range m.Owners {
		if o.Controller {
			return o
		}
	}
	return ownerReference{}
}

// bareName is the name of a pod that nothing owns, without what the API server
// makes up for generateName.
func bareName(m *metadata) string {
	if m.GenerateName != "" {
		return strings.TrimSuffix(m.GenerateName, "-")
	}
	return m.Name
}

// The CronJob controller names Jobs after the scheduled time in minutes since
// 1970. The controller that does so came with Kubernetes 1.21, in April 2021:
// a smaller number, such as a date, is part of a name that somebody chose.
const firstScheduledMinute = 26_900_000

func cutScheduledMinute(name string) (string, bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 1 || len(name)-i-1 != 8 {
		return name, false
	}
	minute, err := strconv.ParseUint(name[i+1:], 10, 32)
	if err != nil || minute < firstScheduledMinute {
		return name, false
	}
	return name[:i], true
}

// imageVersion is the tag of an image reference or, without one, its digest.
func imageVersion(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	last := name[strings.LastIndexByte(name, '/')+1:]
	if _, tag, ok := strings.Cut(last, ":"); ok && tag != "" {
		return tag
	}
	return digest
}
