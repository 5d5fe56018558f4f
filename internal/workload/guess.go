package workload

import (
	"strconv"
	"strings"
)

// OwnerFromName returns the most likely owner of a pod whose owner references
// are unknown. Labels that controllers set decide if they are known; without
// labels the shape of the name decides. The kind is "" if it is unknown.
func OwnerFromName(pod string, labels map[string]string) Owner {
	head, _, hasDash := cutLast(pod)
	if hash := labels["pod-template-hash"]; hash != "" {
		if name, ok := strings.CutSuffix(head, "-"+hash); ok {
			return Owner{"Deployment", name}
		}
	}
	if job := labels["batch.kubernetes.io/job-name"]; job != "" {
		if name, ok := cutScheduledMinute(job); ok {
			return Owner{"CronJob", name}
		}
		return Owner{"Job", job}
	}
	if _, ok := labels["apps.kubernetes.io/pod-index"]; ok && hasDash {
		return Owner{"StatefulSet", head}
	}
	if labels["controller-revision-hash"] != "" && hasDash {
		return Owner{"DaemonSet", head}
	}
	return Owner{"", nameFromShape(pod)}
}

// nameFromShape removes from a pod's name what looks appended: the ordinal of a
// StatefulSet, or the five random characters of other controllers together with
// a template hash or a scheduled minute in front of them.
func nameFromShape(pod string) string {
	head, tail, ok := cutLast(pod)
	if !ok {
		return pod
	}
	if _, err := strconv.Atoi(tail); err == nil && len(tail) <= 4 {
		return head
	}
	if len(tail) != 5 || !isRandom(tail) {
		return pod
	}
	if name, hash, ok := cutLast(head); ok && len(hash) >= 6 && len(hash) <= 10 && isRandom(hash) {
		return name
	}
	name, _ := cutScheduledMinute(head)
	return name
}

func cutLast(name string) (head, tail string, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 1 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// isRandom reports whether s consists of the characters that Kubernetes makes
// random names and hashes of: no vowels, no digits that look like letters
// (k8s.io/apimachinery/pkg/util/rand).
func isRandom(s string) bool { return strings.Trim(s, "bcdfghjklmnpqrstvwxz2456789") == "" }
