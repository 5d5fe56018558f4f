package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/diagnosis"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/policy"
	"github.com/nova/novawire/webhook/preview"
)

// explainedKind reads the objects of one kind that can be explained.
type explainedKind struct {
	kind     string
	template []string // of the pod template in the object; nil for a pod
	raw      func(ctx context.Context, c *kubernetes.Client, namespace, name string) ([]byte, error)
	list     func(ctx context.Context, c *kubernetes.Client, namespace string) ([]string, error)
}

func kindOf[T any](kind string, r kubernetes.Resource[T], template ...string) explainedKind {
	return explainedKind{kind: kind, template: template, raw: r.Raw, list: r.Names}
}

// explainedKinds are the kinds by the names that kubectl accepts.
var explainedKinds = func() map[string]explainedKind {
	all := map[string]explainedKind{}
	for _, k := range []struct {
		kind  explainedKind
		names string
	}{
		{kindOf("Pod", kubernetes.Pods), "po pod pods"},
		{kindOf("Deployment", kubernetes.Deployments, "spec", "template"), "deploy deployment deployments deployment.apps"},
		{kindOf("StatefulSet", kubernetes.StatefulSets, "spec", "template"), "sts statefulset statefulsets statefulset.apps"},
		{kindOf("DaemonSet", kubernetes.DaemonSets, "spec", "template"), "ds daemonset daemonsets daemonset.apps"},
		{kindOf("Job", kubernetes.Jobs, "spec", "template"), "job jobs job.batch"},
		{kindOf("CronJob", kubernetes.CronJobs, "spec", "jobTemplate", "spec", "template"), "cj cronjob cronjobs cronjob.batch"},
	} {
		for _, name := range strings.Fields(k.names) {
			all[name] = k.kind
		}
	}
	return all
}()

type explainer struct {
	cluster   *kubernetes.Client
	in        *installation
	namespace string
	programs  diagnosis.Programs

	ns       *metav1.PartialObjectMetadata
	limits   *inject.Limits
	evidence diagnosis.Evidence // what is the same for all pods
	trial    *diagnosis.Trial   // of the first pod that needed one; the others have the same template
}

// explanation is what `explain -o json` prints.
type explanation struct {
	Namespace     string           `json:"namespace"`
	Kind          string           `json:"kind"`
	Name          string           `json:"name"`
	Pods          []podExplanation `json:"pods"`
	Configuration string           `json:"configuration"` // where it was read
	Hash          string           `json:"hash"`          // of the configuration
	// Decision is what happens to a pod that is created now and reaches the webhook.
	Decision *decision `json:"decision"`

	result inject.Result
}

// podExplanation is the state of one pod, or of a template without pods.
type podExplanation struct {
	Name  string             `json:"name,omitempty"`
	State injection.PodState `json:"state"`
	*diagnosis.Finding
}

func (e *explainer) explain(ctx context.Context, k explainedKind, name string) (*explanation, error) {
	if err := e.readCluster(ctx); err != nil {
		return nil, err
	}
	raw, err := k.raw(ctx, e.cluster, e.namespace, name)
	if err != nil {
		return nil, fmt.Errorf("read %s %s/%s: %w", k.kind, e.namespace, name, err)
	}
	owner := workload.Owner{Kind: k.kind, Name: name}
	if k.template == nil {
		owner = workload.Owner{}
	} else if raw, err = template(raw, k.template); err != nil {
		return nil, fmt.Errorf("%s %s: %w", k.kind, name, err)
	}
	result, err := e.in.engine.Explain(raw, e.injected(), owner)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", k.kind, name, err)
	}
	found := &explanation{
		Namespace: e.namespace, Kind: k.kind, Name: name, Configuration: e.in.from, Hash: e.in.engine.HashIn(e.namespace),
		Decision: newDecision(result), result: result,
	}
	pods, err := e.podsOf(ctx, k, name, raw)
	if err != nil {
		return nil, err
	}
	for i := range pods {
		found.Pods = append(found.Pods, e.explainPod(ctx, &pods[i], owner))
	}
	return found, nil
}

// readCluster reads what decides about all pods of the namespace.
func (e *explainer) readCluster(ctx context.Context) (err error) {
	if e.ns, err = kubernetes.Namespaces.Get(ctx, e.cluster, "", e.namespace); err != nil {
		return fmt.Errorf("read the namespace %s: %w", e.namespace, err)
	}
	if e.limits, err = readLimits(ctx, e.cluster, e.namespace); err != nil {
		e.in.note("the limits of the namespace are not known: %v", err)
	}
	webhooks, err := mutatingWebhooks(ctx, e.cluster)
	if err != nil {
		return err
	}
	policies, err := boundPolicies(ctx, e.cluster)
	e.evidence = diagnosis.Evidence{Namespace: e.ns, Webhooks: webhooks, Policies: policiesOf(policies, e.namespace), System: e.in.namespace, Manager: e.in.manager()}
	return err
}

// policiesOf returns the policy that wires the pods of a namespace: its own, or that of all others.
func policiesOf(all []admissionv1.MutatingAdmissionPolicy, namespace string) []admissionv1.MutatingAdmissionPolicy {
	for _, name := range []string{policy.NameIn(namespace), policy.Name} {
		if i := slices.IndexFunc(all, func(p admissionv1.MutatingAdmissionPolicy) bool { return p.Name == name }); i >= 0 {
			return all[i : i+1]
		}
	}
	return nil
}

func (e *explainer) injected() inject.Namespace {
	return inject.Namespace{Name: e.namespace, Annotations: e.ns.Annotations, Limits: e.limits}
}

// podsOf returns the pod, or the pods of a workload that have not ended. A workload
// without pods has the one that its template describes.
func (e *explainer) podsOf(ctx context.Context, k explainedKind, name string, raw []byte) ([]corev1.Pod, error) {
	var one corev1.Pod
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, fmt.Errorf("%s %s: %w", k.kind, name, err)
	}
	if k.template == nil {
		return []corev1.Pod{one}, nil
	}
	var pods []corev1.Pod
	err := kubernetes.Pods.Pages(ctx, e.cluster, e.namespace, metav1.ListOptions{}, func(page []corev1.Pod) error {
		for _, p := range page {
			if kubernetes.OwnerOf(&p.ObjectMeta) == (workload.Owner{Kind: k.kind, Name: name}) && !finished(p) {
				pods = append(pods, p)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	if len(pods) == 0 {
		return []corev1.Pod{one}, nil
	}
	return pods, nil
}

func (e *explainer) explainPod(ctx context.Context, pod *corev1.Pod, owner workload.Owner) podExplanation {
	if owner == (workload.Owner{}) {
		owner = kubernetes.OwnerOf(&pod.ObjectMeta)
	}
	state := e.in.state(pod, e.ns)
	found := podExplanation{Name: pod.Name, State: state.PodState}
	if !injection.OptedIn(e.namespace, e.ns.Labels) {
		found.State = injection.PodSkipped
	}
	if state.Reason == inject.LeftByPolicy {
		why := diagnosis.LeftByPolicy(state.Detail)
		found.Finding = &why
		return found
	}
	if found.Finding = drifted(state, e.programs, e.namespace, pod.Name, owner); found.Finding != nil || found.State == injection.PodWired {
		return found
	}
	evidence := e.evidence
	evidence.Pod, evidence.Owner = pod, owner
	raw, err := json.Marshal(pod)
	if err == nil {
		var result inject.Result
		if result, err = e.in.engine.Template(raw, e.injected(), owner); err == nil {
			evidence.Decision = result.Decision
		}
	}
	if err != nil {
		found.Finding = &diagnosis.Finding{Cause: diagnosis.NotTried, Text: err.Error()}
		return found
	}
	if diagnosis.NeedsTrial(evidence, e.programs) {
		if e.trial == nil {
			e.trial = e.try(ctx, pod, owner)
		}
		evidence.Trial = e.trial
	}
	why := diagnosis.Why(evidence, e.programs)
	if pod.Name == "" && evidence.Trial != nil && evidence.Trial.Wired {
		return podExplanation{State: injection.PodWired}
	}
	found.Finding = &why
	return found
}

// try asks the API server to create the pod in a dry run.
func (e *explainer) try(ctx context.Context, pod *corev1.Pod, owner workload.Owner) *diagnosis.Trial {
	raw, err := json.Marshal(newPod(pod, owner, e.namespace))
	if err != nil {
		return &diagnosis.Trial{Unknown: err.Error()}
	}
	tried, err := kubernetes.Pods.TryCreate(ctx, e.cluster, e.namespace, raw)
	var status apierrors.APIStatus // the API server's answer, not a broken connection
	switch {
	case err == nil:
		state := e.in.state(tried, e.ns)
		if state.Reason == inject.LeftByPolicy {
			return &diagnosis.Trial{Left: state.Detail}
		}
		return &diagnosis.Trial{Wired: state.PodState == injection.PodWired}
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot create resource"):
		return &diagnosis.Trial{Unknown: "you may not create pods in the namespace " + e.namespace}
	case errors.As(err, &status):
		return &diagnosis.Trial{Refused: err.Error()}
	}
	return &diagnosis.Trial{Unknown: err.Error()}
}

// newPod returns a pod as its controller would create it again.
func newPod(pod *corev1.Pod, owner workload.Owner, namespace string) *corev1.Pod {
	annotations := maps.Clone(pod.Annotations)
	delete(annotations, injection.AnnotationStatus)
	fresh := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: owner.Name + "-", Namespace: namespace,
			Labels: pod.Labels, Annotations: annotations, OwnerReferences: pod.OwnerReferences,
		},
		Spec: *pod.Spec.DeepCopy(),
	}
	fresh.Spec.NodeName = ""
	fresh.Spec.EphemeralContainers = nil // only a running pod can have them
	return fresh
}

// template returns the value at a path of a JSON object.
func template(raw []byte, path []string) ([]byte, error) {
	for _, key := range path {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, err
		}
		if raw = fields[key]; raw == nil {
			return nil, fmt.Errorf("%s is missing", strings.Join(path, "."))
		}
	}
	return raw, nil
}

// unwired returns the pods that are not as the configuration says.
func (x *explanation) unwired() []podExplanation {
	return slices.DeleteFunc(slices.Clone(x.Pods), func(p podExplanation) bool { return p.Finding == nil })
}

func (x *explanation) write(w io.Writer, output string) error {
	if output == "json" {
		return writeJSON(w, x)
	}
	for _, group := range x.groups() {
		p := group[0]
		name := x.Kind + " " + x.Namespace + "/" + x.Name
		if p.Name != "" && x.Kind != "Pod" {
			name += ", pod " + p.Name
		}
		if len(group) > 1 {
			name += fmt.Sprintf(" and %d more", len(group)-1)
		}
		state := string(p.State)
		if p.Name == "" {
			state = "no pods; a new one: " + state
		}
		fmt.Fprintf(w, "%s: %s\n", name, state)
		if p.Finding == nil {
			continue
		}
		fmt.Fprintf(w, "  why: %s: %s\n", p.Cause, cell(p.Text))
		for _, command := range p.Commands {
			fmt.Fprintf(w, "  fix: %s\n", command)
		}
	}
	fmt.Fprintf(w, "\nconfiguration %s, from %s\n", x.Hash, x.Configuration)
	return preview.WriteDecision(w, "at the webhook", x.result)
}

// groups returns the pods by state and cause, in the order of their first pods.
func (x *explanation) groups() (all [][]podExplanation) {
	at := map[[2]string]int{}
	for _, p := range x.Pods {
		key := [2]string{string(p.State), ""}
		if p.Finding != nil {
			key[1] = string(p.Cause)
		}
		i, known := at[key]
		if !known {
			i = len(all)
			at[key], all = i, append(all, nil)
		}
		all[i] = append(all[i], p)
	}
	return all
}
