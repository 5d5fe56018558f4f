//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
)

const (
	examples   = "../examples/nova.yaml"
	kindConfig = "../manifests/overlays/kind/config.yaml"
)

// The previewed pod of each workload equals, field by field, the pod in the cluster.
func TestPreview(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(examples)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "nova.yaml") // the namespace nova is TestTutorial's
	if err := os.WriteFile(file, []byte(movedTo("nova-preview", string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	previewed := preview(t, file)
	t.Cleanup(func() { kubectl(t, "", "delete", "--ignore-not-found", "--wait=false", "-f", file) })
	kubectl(t, "", "apply", "-f", file)

	for _, w := range previewed {
		t.Run(w.Kind+" "+w.Name, func(t *testing.T) {
			t.Parallel()
			n := namespace{resourcesIn(t, w.Namespace), t, w.Namespace}
			switch {
			case w.Kind == "CronJob" && w.Labels["app.kubernetes.io/managed-by"] == "novawire":
				n.startGenerated(w.Name)
			case w.Kind == "CronJob":
				kubectl(t, "", "--namespace", w.Namespace, "patch", "cronjob", w.Name, "--patch", `{"spec":{"schedule":"* * * * *"}}`)
			}
			live := n.podOf(w)
			if diff := cmp.Diff(fields(t, n.admittedAsPreviewed(w, live)), fields(t, live)); diff != "" {
				t.Errorf("preview (-) and cluster (+) differ:\n%s", diff)
			}
		})
	}
}

// movedTo returns the manifests of examples in another namespace.
func movedTo(namespace, manifests string) string {
	return regexp.MustCompile(`(?m)(namespace: |^  name: |\.)nova($|\.svc)`).ReplaceAllString(manifests, "${1}"+namespace+"${2}")
}

// workload holds the fields of a manifest with a pod template that the test needs.
type workload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Template    corev1.PodTemplateSpec `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template corev1.PodTemplateSpec `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
}

func (w workload) template() corev1.PodTemplateSpec {
	if w.Kind == "CronJob" {
		return w.Spec.JobTemplate.Spec.Template
	}
	return w.Spec.Template
}

// preview runs `novawire preview` on a file and returns its workloads.
func preview(t *testing.T, file string) (workloads []workload) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "novawire")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/novawire").CombinedOutput(); err != nil {
		t.Fatalf("build novawire: %v\n%s", err, out)
	}
	text, err := exec.CommandContext(t.Context(), program, "preview", "--config", kindConfig, "-o", "json", file).Output()
	if err != nil {
		t.Fatalf("novawire preview: %v", err)
	}
	var list struct{ Items []workload }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatalf("read the preview: %v", err)
	}
	for _, w := range list.Items {
		if len(w.template().Spec.Containers) > 0 {
			workloads = append(workloads, w)
		}
	}
	if len(workloads) == 0 {
		t.Fatalf("the preview of %s has no workloads", file)
	}
	return workloads
}

// startGenerated waits for a CronJob of the controller and creates a Job from it. It
// does not change the schedule, which the controller would restore.
func (n namespace) startGenerated(name string) {
	n.t.Helper()
	eventually(n.t, "there is a CronJob "+name, time.Minute, func(ctx context.Context) (bool, error) {
		var job batchv1.CronJob
		return n.Get(ctx, name, n.name, &job) == nil, nil
	})
	kubectl(n.t, "", "--namespace", n.name, "create", "job", name+"-now", "--from", "cronjob/"+name)
}

// podOf waits for a pod of the workload and returns it.
func (n namespace) podOf(w workload) (found *corev1.Pod) {
	n.t.Helper()
	eventually(n.t, "there is a pod of "+w.Name, 2*time.Minute, func(ctx context.Context) (bool, error) {
		var list corev1.PodList
		err := n.List(ctx, &list)
		for _, pod := range list.Items {
			// A StatefulSet's name also begins those of its backups' pods.
			if pod.Name == w.Name+"-0" || w.Kind != "StatefulSet" && strings.HasPrefix(pod.Name, w.Name+"-") {
				found = &pod
			}
		}
		return found != nil, err
	})
	return found
}

// admittedAsPreviewed returns the previewed pod with the API server's defaults, from a
// dry run for which the webhook is disabled. It takes the volume claims from the live
// pod, because the StatefulSet controller adds them.
func (n namespace) admittedAsPreviewed(w workload, live *corev1.Pod) *corev1.Pod {
	n.t.Helper()
	template := w.template()
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: template.Spec}
	pod.Name, pod.Namespace = live.Name+"-previewed", n.name
	pod.Labels[injection.LabelWiring] = injection.WiringDisabled
	for _, v := range live.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			pod.Spec.Volumes = append(pod.Spec.Volumes, v)
		}
	}
	if err := n.GetControllerRuntimeClient().Create(n.t.Context(), pod, client.DryRunAll); err != nil {
		n.t.Fatalf("dry run of the previewed pod: %v", err)
	}
	return pod
}

// Fields that controllers and the scheduler write.
var (
	controllersLabels = []string{
		"pod-template-hash", "pod-template-generation", "controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
		"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name",
		injection.LabelWiring, // of the dry run
	}
	controllersAnnotations = []string{"batch.kubernetes.io/cronjob-scheduled-timestamp"}
	controllersFields      = []string{"nodeName", "hostname", "subdomain", "affinity", "tolerations"}
	tokenVolume            = regexp.MustCompile(`kube-api-access-[a-z0-9]{5}`)
	programVersion         = regexp.MustCompile(`"version":"[^"]*",`) // in the status; the test's build of novawire has none
)

// fields returns the fields of a pod that a preview must predict.
func fields(t *testing.T, pod *corev1.Pod) map[string]any {
	t.Helper()
	pod = pod.DeepCopy()
	for _, key := range controllersLabels {
		delete(pod.Labels, key)
	}
	for _, key := range controllersAnnotations {
		delete(pod.Annotations, key)
	}
	if status, ok := pod.Annotations[injection.AnnotationStatus]; ok {
		pod.Annotations[injection.AnnotationStatus] = programVersion.ReplaceAllString(status, "")
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		t.Fatal(err)
	}
	spec := object["spec"].(map[string]any)
	for _, key := range controllersFields {
		delete(spec, key)
	}
	spec["volumes"] = withoutClaims(spec["volumes"]) // in another order
	text, err := json.Marshal(map[string]any{"labels": pod.Labels, "annotations": pod.Annotations, "spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]any{}
	if err := json.Unmarshal(tokenVolume.ReplaceAll(text, []byte("kube-api-access")), &kept); err != nil {
		t.Fatal(err)
	}
	return kept
}

func withoutClaims(volumes any) (kept []any) {
	list, _ := volumes.([]any)
	for _, v := range list {
		if v.(map[string]any)["persistentVolumeClaim"] == nil {
			kept = append(kept, v)
		}
	}
	return kept
}
