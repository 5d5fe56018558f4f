package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"
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
	created         time.Time
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
	// Pods are judged while the next page is on its way.
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	var pages [][]*surveyedPod
	err = cluster.RawPods(ctx, namespace, func(page [][]byte) error {
		found := make([]*surveyedPod, len(page))
		pages = append(pages, found)
		group.Go(func() error {
			for i, raw := range page {
				found[i] = in.surveyPod(raw, settings)
			}
			return nil
		})
		return nil
	})
	_ = group.Wait() // its functions do not fail
	if err != nil {
		return nil, nil, fmt.Errorf("list pods: %w", err)
	}
	var pods []surveyedPod
	for _, p := range slices.Concat(pages...) {
		if p != nil {
			pods = append(pods, *p)
		}
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
			Name              string                    `json:"name"`
			GenerateName      string                    `json:"generateName"`
			Namespace         string                    `json:"namespace"`
			DeletionTimestamp string                    `json:"deletionTimestamp"`
			CreationTimestamp time.Time                 `json:"creationTimestamp"`
			Labels            map[string]string         `json:"labels"`
			Annotations       map[string]string         `json:"annotations"`
			OwnerReferences   []workload.OwnerReference `json:"ownerReferences"`
		} `json:"metadata"`
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
	owner := workload.OwnerOf(workload.Pod{Name: m.Name, GenerateName: m.GenerateName, Labels: m.Labels, Owners: m.OwnerReferences})
	service := ""
	if state.PodState != injection.PodSkipped {
		service = workload.ServiceOf(workload.AnnotationOf(ns.Annotations, m.Annotations), in.config.Injection.ServiceNameLabels, m.Labels, owner).Name
	}
	return &surveyedPod{
		namespace: m.Namespace, name: m.Name, state: state, config: status.Config, created: m.CreationTimestamp,
		owner: owner, service: service,
	}
}
