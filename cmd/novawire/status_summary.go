package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
)

// clusterStatus is what `status -o json` prints.
type clusterStatus struct {
	// Configuration is the hash of the manager's configuration.
	Configuration string            `json:"configuration"`
	Namespaces    []namespaceStatus `json:"namespaces"`
	Names         []nameProblem     `json:"names,omitempty"`
	Notes         []string          `json:"notes,omitempty"`
}

// namespaceStatus is one namespace that opted in, or that has backups.
type namespaceStatus struct {
	Name string `json:"name"`
	// Configuration is the hash that applies in the namespace; "" if it did not opt in.
	Configuration string           `json:"configuration,omitempty"`
	Pods          podCounts        `json:"pods"`
	Workloads     []workloadStatus `json:"workloads,omitempty"`
	Backups       []statusEntry    `json:"backups,omitempty"`
}

// podCounts are numbers of pods by state.
type podCounts map[injection.PodState]int

func (c podCounts) total() (n int) {
	for _, count := range c {
		n += count
	}
	return n
}

// workloadStatus is one workload with running pods.
type workloadStatus struct {
	Kind string    `json:"kind"`
	Name string    `json:"name"`
	Pods podCounts `json:"pods"`
	// Configurations are those that the pods were wired with, the oldest first.
	Configurations []configurationUse `json:"configurations,omitempty"`
	// Reasons are those of pods that are not wired as the configuration says.
	Reasons  map[string]int `json:"reasons,omitempty"`
	Services []string       `json:"services,omitempty"`
	// Details are the pods, if the workload was asked for by name.
	Details []podDetail `json:"details,omitempty"`
}

// configurationUse is how many pods were wired with a configuration, and when the oldest
// of them was created.
type configurationUse struct {
	Hash  string      `json:"hash"`
	Pods  int         `json:"pods"`
	Since metav1.Time `json:"since"`
}

type podDetail struct {
	Name          string             `json:"name"`
	State         injection.PodState `json:"state"`
	Reason        string             `json:"reason"`
	Text          string             `json:"text"`
	Configuration string             `json:"configuration,omitempty"`
	Created       metav1.Time        `json:"created"`
}

// summarize counts pods by namespace and workload. If only is set, the other workloads
// and the backups are left out.
func summarize(in *installation, namespaces []metav1.PartialObjectMetadata, pods []surveyedPod, backups []statusEntry, only workload.Owner) *clusterStatus {
	s := &clusterStatus{Configuration: in.engine.Hash(), Namespaces: []namespaceStatus{}}
	at := map[string]*namespaceStatus{}
	namespace := func(name string) *namespaceStatus {
		if at[name] == nil {
			at[name] = &namespaceStatus{Name: name, Pods: podCounts{}}
		}
		return at[name]
	}
	for _, ns := range namespaces {
		namespace(ns.Name).Configuration = in.engine.HashIn(ns.Name)
	}
	if only.Kind != "" {
		pods = slices.DeleteFunc(pods, func(p surveyedPod) bool { return p.owner != only })
		backups = nil
	}
	slices.SortFunc(pods, func(a, b surveyedPod) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.owner.Kind, b.owner.Kind),
			strings.Compare(a.owner.Name, b.owner.Name), strings.Compare(a.name, b.name))
	})
	for i := range pods {
		namespace(pods[i].namespace).add(&pods[i], only.Kind != "")
	}
	for _, b := range backups {
		ns := namespace(b.Namespace)
		ns.Backups = append(ns.Backups, b)
	}
	for _, name := range sortedKeys(at, strings.Compare) {
		s.Namespaces = append(s.Namespaces, *at[name])
	}
	s.Names = auditNames(pods)
	return s
}

// add counts a pod. Pods come sorted by workload.
func (ns *namespaceStatus) add(p *surveyedPod, details bool) {
	ns.Pods[p.state.PodState]++
	last := len(ns.Workloads) - 1
	if last < 0 || ns.Workloads[last].Kind != p.owner.Kind || ns.Workloads[last].Name != p.owner.Name {
		ns.Workloads = append(ns.Workloads, workloadStatus{Kind: p.owner.Kind, Name: p.owner.Name, Pods: podCounts{}})
		last++
	}
	w := &ns.Workloads[last]
	w.Pods[p.state.PodState]++
	if p.state.PodState != injection.PodWired {
		if w.Reasons == nil {
			w.Reasons = map[string]int{}
		}
		w.Reasons[string(p.state.Reason)]++
	}
	if p.service != "" && !slices.Contains(w.Services, p.service) {
		w.Services = append(w.Services, p.service)
	}
	w.use(p.config, p.created)
	if details {
		w.Details = append(w.Details, podDetail{
			Name: p.name, State: p.state.PodState, Reason: string(p.state.Reason), Text: p.state.String(), Configuration: p.config, Created: metav1.NewTime(p.created),
		})
	}
}

// use counts a pod of a configuration.
func (w *workloadStatus) use(hash string, created time.Time) {
	if hash == "" {
		return
	}
	i := slices.IndexFunc(w.Configurations, func(u configurationUse) bool { return u.Hash == hash })
	if i < 0 {
		i = len(w.Configurations)
		w.Configurations = append(w.Configurations, configurationUse{Hash: hash, Since: metav1.NewTime(created)})
	}
	u := &w.Configurations[i]
	u.Pods++
	if created.Before(u.Since.Time) {
		u.Since = metav1.NewTime(created)
	}
	slices.SortStableFunc(w.Configurations, func(a, b configurationUse) int { return a.Since.Compare(b.Since.Time) })
}
