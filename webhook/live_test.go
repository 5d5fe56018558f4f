package webhook

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// apiServer is an API server with few objects. The tests of cmd/novawire-manager use a real one.
type apiServer struct {
	objects map[string]map[string]string // labels by group/version/kind, namespace and name
	err     error
}

func (r apiServer) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if r.err != nil {
		return r.err
	}
	labels, ok := r.objects[o.GetObjectKind().GroupVersionKind().String()+" "+key.String()]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	o.SetLabels(labels)
	return nil
}

func (r apiServer) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	if r.err != nil {
		return r.err
	}
	var o client.ListOptions
	o.ApplyOptions(options)
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: o.Namespace, Name: name} }
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"inject.nova.dev/service-name": "shop"}}}
	switch l := list.(type) {
	case *appsv1.DeploymentList:
		l.Items = []appsv1.Deployment{{ObjectMeta: named("d"), Spec: appsv1.DeploymentSpec{Template: template}}, {ObjectMeta: named("other")}}
	case *appsv1.StatefulSetList:
		l.Items = []appsv1.StatefulSet{{ObjectMeta: named("s"), Spec: appsv1.StatefulSetSpec{Template: template}}}
	case *appsv1.DaemonSetList:
		l.Items = []appsv1.DaemonSet{{ObjectMeta: named("n"), Spec: appsv1.DaemonSetSpec{Template: template}}}
	case *batchv1.CronJobList:
		l.Items = []batchv1.CronJob{{ObjectMeta: named("c"), Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}}}
	case *metav1.PartialObjectMetadataList:
		l.Items = []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: l.GroupVersionKind().String()}}}
	}
	return nil
}

func TestLiveServices_Named(t *testing.T) {
	engine, err := inject.New(inject.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	got, err := LiveServices{apiServer{}}.Named(t.Context(), engine, inject.Namespace{Name: "nova"}, "shop")
	want := []workload.Owner{{Kind: "Deployment", Name: "d"}, {Kind: "StatefulSet", Name: "s"}, {Kind: "DaemonSet", Name: "n"}, {Kind: "CronJob", Name: "c"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if got, err := (LiveServices{apiServer{err: errors.New("forbidden")}}).Named(t.Context(), engine, inject.Namespace{Name: "nova"}, "shop"); err == nil || got != nil {
		t.Errorf("after an error: %v, %v", got, err)
	}
}

func TestLiveReferences(t *testing.T) {
	live := LiveReferences{Live: apiServer{objects: map[string]map[string]string{
		"/v1, Kind=Secret nova/a":         nil,
		"/v1, Kind=ServiceAccount nova/b": nil,
		"/v1, Kind=Namespace /nova":       {"x": "y"},
	}}}
	forbidden := LiveReferences{Live: apiServer{err: errors.New("forbidden")}}
	for name, c := range map[string]struct {
		look   func(LiveReferences) (bool, error)
		exists bool
	}{
		"a Secret":                 {func(l LiveReferences) (bool, error) { return l.HasSecret(t.Context(), "nova", "a") }, true},
		"a missing Secret":         {func(l LiveReferences) (bool, error) { return l.HasSecret(t.Context(), "nova", "b") }, false},
		"a ServiceAccount":         {func(l LiveReferences) (bool, error) { return l.HasServiceAccount(t.Context(), "nova", "b") }, true},
		"a missing ServiceAccount": {func(l LiveReferences) (bool, error) { return l.HasServiceAccount(t.Context(), "nova", "a") }, false},
	} {
		if exists, err := c.look(live); exists != c.exists || err != nil {
			t.Errorf("%s: %t, %v", name, exists, err)
		}
		if exists, err := c.look(forbidden); exists || err == nil {
			t.Errorf("%s, forbidden: %t, %v", name, exists, err)
		}
	}
	if labels, err := live.NamespaceLabels(t.Context(), "nova"); err != nil || labels["x"] != "y" {
		t.Errorf("labels %v, %v", labels, err)
	}
	if _, err := forbidden.NamespaceLabels(t.Context(), "nova"); err == nil {
		t.Error("no error")
	}
	if sets, err := live.StatefulSets(t.Context()); err != nil || len(sets) != 1 || sets[0].Name != "apps/v1, Kind=StatefulSetList" {
		t.Errorf("%v, %v", sets, err)
	}
	if _, err := forbidden.StatefulSets(t.Context()); err == nil {
		t.Error("no error")
	}
}
