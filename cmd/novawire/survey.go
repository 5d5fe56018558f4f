package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// surveyedPod is a running pod of a namespace that opted in.
type surveyedPod struct {
	namespace, name string
	owner           workload.Owner
	state           inject.State
	config          string // hash of the configuration that it was wired with; "" for none
	service         string // name of its service; "" for a pod that is skipped
}

// survey reads the running pods of all opted-in namespaces, or of one namespace.
func (in *installation) survey(ctx context.Context, cluster *kubernetes.Client, namespace string) ([]metav1.PartialObjectMetadata, []surveyedPod, error) {
	namespaces, err := optedInNamespaces(ctx, cluster, namespace)
	if err != nil {
		return nil, nil, err
	}
	settings := map[string]inject.Namespace{}
	for _, ns := range namespaces {
		settings[ns.Name] = inject.Namespace{Name: ns.Name, Annotations: ns.Annotations}
	}
	var pods []surveyedPod
	err = cluster.RawPods(ctx, namespace, func(page [][]byte) error {
		found := make([]*surveyedPod, len(page))
		parallel(len(page), func(i int) { found[i] = in.surveyPod(page[i], settings) })
		for _, p := range found {
			if p != nil {
				pods = append(pods, *p)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list pods: %w", err)
	}
	return namespaces, pods, nil
}

func optedInNamespaces(ctx context.Context, cluster *kubernetes.Client, namespace string) ([]metav1.PartialObjectMetadata, error) {
	if namespace != "" {
		ns, err := kubernetes.Namespaces.Get(ctx, cluster, "", namespace)
		if err != nil {
			return nil, fmt.Errorf("read the namespace %s: %w", namespace, err)
		}
		if !isSurveyed(ns) {
			return nil, nil
		}
		return []metav1.PartialObjectMetadata{*ns}, nil
	}
	all, err := kubernetes.Namespaces.List(ctx, cluster, "", metav1.ListOptions{LabelSelector: injection.LabelWiring + "=" + injection.WiringEnabled})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	return slices.DeleteFunc(all, func(ns metav1.PartialObjectMetadata) bool { return !isSurveyed(&ns) }), nil
}

// isSurveyed reports whether a namespace opted in and is not being deleted.
func isSurveyed(ns *metav1.PartialObjectMetadata) bool {
	return injection.OptedIn(ns.Name, ns.Labels) && ns.DeletionTimestamp == nil
}

// surveyPod returns nil for a pod of another namespace and for one that is being deleted.
func (in *installation) surveyPod(raw []byte, namespaces map[string]inject.Namespace) *surveyedPod {
	var pod struct {
		Metadata struct {
			Name, GenerateName, Namespace string
			DeletionTimestamp             string
			Labels, Annotations           map[string]string
			OwnerReferences               []workload.OwnerReference
		}
	}
	if json.Unmarshal(raw, &pod) != nil || pod.Metadata.DeletionTimestamp != "" {
		return nil
	}
	m := &pod.Metadata
	ns, optedIn := namespaces[m.Namespace]
	if !optedIn {
		return nil
	}
	state, err := in.engine.State(raw, ns)
	if err != nil {
		state = inject.State{PodState: injection.PodMissing, Detail: err.Error()}
	}
	status, _ := inject.ReadStatus(m.Annotations)
	return &surveyedPod{
		namespace: m.Namespace, name: m.Name, state: state, config: status.Config,
		owner:   workload.OwnerOf(workload.Pod{Name: m.Name, GenerateName: m.GenerateName, Labels: m.Labels, Owners: m.OwnerReferences}),
		service: in.engine.ServiceName(raw, ns, workload.Owner{}),
	}
}

// parallel calls f for each number below n, in as many goroutines as there are CPUs.
func parallel(n int, f func(i int)) {
	var group sync.WaitGroup
	var next atomic.Int64
	for range min(n, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	group.Wait()
}
