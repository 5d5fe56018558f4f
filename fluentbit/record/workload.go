package record

import (
	"strconv"
	"strings"

	"github.com/nova/novawire/fluentbit/msgpack"
)

// owner is the controller of a pod.
type owner struct{ kind, name string }

func readOwner(b []byte) (o owner) {
	h, rest := msgpack.Next(b)
	if h.Kind != msgpack.Array {
		return owner{}
	}
	for range h.N {
		var reference owner
		isController := true // the filter of older Fluent Bits does not say
		forEachMember(rest, func(key string, value []byte) {
			text, _, _ := msgpack.Text(value)
			switch head, _ := msgpack.Next(value); key {
			case "kind":
				reference.kind = string(text)
			case "name":
				reference.name = string(text)
			case "controller":
				isController = head.Bits == 1
			}
		})
		if isController && reference.name != "" {
			return reference
		}
		next, ok := msgpack.Skip(rest)
		if !ok {
			return owner{}
		}
		rest = next
	}
	return owner{}
}

// workload names the service as injection does, from the owner; where the
// filter does not tell the owner, from the name that the controllers gave the
// pod, as well as labels allow.
func workload(pod string, o owner, labels map[string]string) string {
	switch o.kind {
	case "":
		return withoutSuffixes(pod, labels)
	case "ReplicaSet":
		for _, label := range []string{"pod-template-hash", "rollouts-pod-template-hash"} {
			if name, ok := strings.CutSuffix(o.name, "-"+labels[label]); ok {
				return name
			}
		}
	case "ReplicationController":
		if name := labels["deploymentconfig"]; name != "" {
			return name
		}
	case "Job":
		return withoutMinute(o.name)
	}
	return o.name
}

func withoutSuffixes(pod string, labels map[string]string) string {
	head, _, hasDash := cutLast(pod)
	if hash := labels["pod-template-hash"]; hash != "" {
		if name, ok := strings.CutSuffix(head, "-"+hash); ok {
			return name
		}
	}
	if name := labels["batch.kubernetes.io/job-name"]; name != "" {
		return withoutMinute(name)
	}
	if _, ok := labels["apps.kubernetes.io/pod-index"]; ok && hasDash {
		return head
	}
	if labels["controller-revision-hash"] != "" && hasDash {
		return head
	}
	return bySuffix(pod)
}

// bySuffix goes by the shape of the name alone: an ordinal of a StatefulSet, or
// five of the characters that random names are made of, after a hash of them.
func bySuffix(pod string) string {
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
	return withoutMinute(head)
}

// withoutMinute names the CronJob of a Job, which carries the minute it was due.
func withoutMinute(job string) string {
	if name, minute, ok := cutLast(job); ok && len(minute) == 8 && minute >= "26900000" && strings.Trim(minute, "0123456789") == "" {
		return name
	}
	return job
}

func cutLast(name string) (head, tail string, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 1 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// isRandom tells what Kubernetes makes random names and hashes of: no vowels, no
// digits that look like letters (k8s.io/apimachinery/pkg/util/rand).
func isRandom(s string) bool { return strings.Trim(s, "bcdfghjklmnpqrstvwxz2456789") == "" }
