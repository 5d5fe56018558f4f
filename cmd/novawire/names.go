package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nova/novawire/internal/workload"
)

// nameProblem is a service name by which telemetry cannot be told apart, or that changes.
type nameProblem struct {
	Namespace string   `json:"namespace"`
	Service   string   `json:"service"`
	Workloads []string `json:"workloads"`
	// Suffix is the part of the name that changes; "" if several workloads share the name.
	Suffix string `json:"suffix,omitempty"`
}

func (p nameProblem) String() string {
	if p.Suffix != "" {
		return fmt.Sprintf("%s: the service name %s of %s ends in %s, which changes with every run or revision: each is a service of its own",
			p.Namespace, p.Service, p.Workloads[0], p.Suffix)
	}
	return fmt.Sprintf("%s: the service name %s belongs to %s: their telemetry cannot be told apart", p.Namespace, p.Service, strings.Join(p.Workloads, " and "))
}

// fix is a command for a workload whose pod template kubectl can patch, else the annotation.
func (p nameProblem) fix(kubectl string) string {
	at := p.Workloads[len(p.Workloads)-1]
	kind, name, _ := strings.Cut(at, " ")
	wanted := name
	if p.Suffix != "" {
		wanted = strings.TrimSuffix(strings.TrimSuffix(p.Service, p.Suffix), "-")
	}
	switch kind {
	case "Deployment", "StatefulSet", "DaemonSet":
		return fmt.Sprintf(`%s -n %s patch %s %s -p '{"spec":{"template":{"metadata":{"annotations":{"inject.nova.dev/service-name":"%s"}}}}}'`,
			kubectl, p.Namespace, strings.ToLower(kind), name, wanted)
	}
	return fmt.Sprintf("set the annotation inject.nova.dev/service-name: %s in the pod template of %s", wanted, at)
}

// auditNames finds service names that several workloads of a namespace share, and those
// with a suffix that changes. Of names that differ in the suffix alone it reports one.
func auditNames(pods []surveyedPod) (problems []nameProblem) {
	type service struct{ namespace, name string }
	users := map[service][]string{}
	for _, p := range pods {
		if p.service == "" {
			continue
		}
		key, user := service{p.namespace, p.service}, p.owner.Kind+" "+p.owner.Name
		if !slices.Contains(users[key], user) {
			users[key] = append(users[key], user)
		}
	}
	reported := map[service]bool{}
	for _, key := range sortedKeys(users, func(a, b service) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.name, b.name))
	}) {
		workloads := users[key]
		slices.Sort(workloads)
		if len(workloads) > 1 {
			problems = append(problems, nameProblem{Namespace: key.namespace, Service: key.name, Workloads: workloads})
		}
		suffix := workload.GeneratedSuffix(key.name)
		family := service{key.namespace, strings.TrimSuffix(key.name, suffix)}
		if suffix != "" && !reported[family] {
			reported[family] = true
			problems = append(problems, nameProblem{Namespace: key.namespace, Service: key.name, Workloads: workloads[:1], Suffix: suffix})
		}
	}
	return problems
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compare)
	return keys
}
