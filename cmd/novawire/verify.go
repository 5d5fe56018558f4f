package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/config"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/preview"
)

// errNoTemplate is returned for a pod that nothing describes.
var errNoTemplate = errors.New("neither an owner nor kubectl apply recorded a template of the pod, so that what the webhook was given is not known")

// verify verifies a pod, or the pods of a workload.
func (e *explainer) verify(ctx context.Context, cmd *cobra.Command, k explainedKind, name, output string) error {
	if err := e.readCluster(ctx); err != nil {
		return err
	}
	for _, note := range e.in.notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: "+note)
	}
	raw, err := k.raw(ctx, e.cluster, e.namespace, name)
	if err != nil {
		return fmt.Errorf("read %s %s/%s: %w", k.kind, e.namespace, name, err)
	}
	pods := [][]byte{raw}
	if k.template != nil {
		if pods, err = e.rawPodsOf(ctx, k.kind, name); err != nil {
			return err
		}
	}
	var all []verification
	for _, pod := range pods {
		v, err := verifyWith(e.in.engine, pod, e.injected(), func(pod *corev1.Pod) ([]byte, string, error) { return e.templateOf(ctx, pod) })
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	return writeVerifications(cmd, all, output)
}

// rawPodsOf returns the pods of a workload that have not ended.
func (e *explainer) rawPodsOf(ctx context.Context, kind, name string) (all [][]byte, err error) {
	err = kubernetes.Pods.Pages(ctx, e.cluster, e.namespace, metav1.ListOptions{}, func(page []corev1.Pod) error {
		for i := range page {
			if kubernetes.OwnerOf(&page[i].ObjectMeta) != (workload.Owner{Kind: kind, Name: name}) || finished(page[i]) {
				continue
			}
			raw, err := json.Marshal(&page[i])
			if err != nil {
				return fmt.Errorf("encode pod %s: %w", page[i].Name, err)
			}
			all = append(all, raw)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return all, nil
}

// verifyWith verifies a pod with the template that a function finds.
func verifyWith(engine *inject.Engine, raw []byte, ns inject.Namespace, find func(*corev1.Pod) ([]byte, string, error)) (verification, error) {
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return verification{}, fmt.Errorf("decode the pod: %w", err)
	}
	template, from, err := find(&pod)
	if errors.Is(err, errNoTemplate) || apierrors.IsNotFound(err) {
		status, _ := inject.ReadStatus(pod.Annotations)
		return verification{
			Namespace: ns.Name, Pod: pod.Name, Verdict: noTemplate, Text: err.Error(),
			Version: status.Version, Configuration: status.Config, Collector: string(status.Collector),
		}, nil
	}
	if err != nil {
		return verification{}, fmt.Errorf("read the template of pod %s: %w", pod.Name, err)
	}
	v, err := verifyPod(engine, raw, template, ns)
	if err != nil {
		return v, fmt.Errorf("pod %s: %w", pod.Name, err)
	}
	v.Template = from
	return v, nil
}

// templateOf returns the template that a pod of the cluster was created from, of the very
// revision, and where it was read.
func (e *explainer) templateOf(ctx context.Context, pod *corev1.Pod) (raw []byte, from string, err error) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return appliedTemplate(pod)
	}
	from = owner.Kind + " " + pod.Namespace + "/" + owner.Name
	path := []string{"spec", "template"}
	switch owner.Kind {
	case "ReplicaSet":
		raw, err = kubernetes.ReplicaSets.Raw(ctx, e.cluster, pod.Namespace, owner.Name)
	case "Job":
		raw, err = kubernetes.Jobs.Raw(ctx, e.cluster, pod.Namespace, owner.Name)
	case "StatefulSet", "DaemonSet":
		revision := pod.Labels["controller-revision-hash"]
		if owner.Kind == "DaemonSet" {
			revision = owner.Name + "-" + revision
		}
		from, path = "ControllerRevision "+pod.Namespace+"/"+revision, []string{"data", "spec", "template"}
		raw, err = kubernetes.Revisions.Raw(ctx, e.cluster, pod.Namespace, revision)
	default:
		return nil, "", fmt.Errorf("%s %s: %w", owner.Kind, owner.Name, errNoTemplate)
	}
	if err != nil {
		return nil, "", err
	}
	raw, err = template(raw, path)
	return raw, from, err
}

// appliedTemplate returns the pod that kubectl apply recorded.
func appliedTemplate(pod *corev1.Pod) ([]byte, string, error) {
	applied := pod.Annotations[corev1.LastAppliedConfigAnnotation]
	if applied == "" {
		return nil, "", errNoTemplate
	}
	return []byte(applied), "annotation " + corev1.LastAppliedConfigAnnotation, nil
}

// verifyFile verifies the pods of manifests. Their templates are those of owners in the same
// manifests.
func (f explainFlags) verifyFile(cmd *cobra.Command, path string) error {
	c, err := config.Read(f.config, os.Getenv(config.EnvImage))
	if err != nil {
		return err
	}
	engine, err := inject.New(c.Injection)
	if err != nil {
		return err
	}
	documents, err := preview.Read([]string{path}, cmd.InOrStdin())
	if err != nil {
		return err
	}
	namespace := f.namespace
	if namespace == "" {
		namespace = "default"
	}
	objects := preview.Objects(documents, namespace)
	var all []verification
	for _, o := range objects {
		if o.Kind != "Pod" {
			continue
		}
		ns, err := namespaceIn(objects, o.Namespace)
		if err != nil {
			return err
		}
		v, err := verifyWith(engine, o.JSON, ns, func(pod *corev1.Pod) ([]byte, string, error) { return templateIn(objects, pod, o.Namespace) })
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	if len(all) == 0 {
		return fmt.Errorf("explain: --verify: %s has no Pod", path)
	}
	return writeVerifications(cmd, all, f.output)
}

// namespaceIn returns what the input says about a namespace.
func namespaceIn(objects []preview.Manifest, name string) (ns inject.Namespace, err error) {
	ns.Name = name
	limits := map[string][]byte{}
	for _, o := range objects {
		switch {
		case o.Kind == "Namespace" && o.Name == name:
			ns.Annotations = o.Annotations
		case (o.Kind == "LimitRange" || o.Kind == "ResourceQuota") && o.Namespace == name:
			limits[o.Kind+"/"+o.Name] = o.JSON
		}
	}
	ns.Limits, err = inject.ParseLimits(limits)
	return ns, err
}

// templateIn returns the template of a pod's owner, or of the workload that owns that.
func templateIn(objects []preview.Manifest, pod *corev1.Pod, namespace string) ([]byte, string, error) {
	controller := metav1.GetControllerOfNoCopy(pod)
	if controller == nil {
		return appliedTemplate(pod)
	}
	workloadOf := kubernetes.OwnerOf(&pod.ObjectMeta)
	for _, owner := range []workload.Owner{{Kind: controller.Kind, Name: controller.Name}, workloadOf} {
		for _, o := range objects {
			if o.Namespace == namespace && o.Kind == owner.Kind && o.Name == owner.Name {
				path := []string{"spec", "template"}
				if o.Kind == "CronJob" {
					path = []string{"spec", "jobTemplate", "spec", "template"}
				}
				raw, err := template(o.JSON, path)
				return raw, o.Kind + " " + namespace + "/" + o.Name + " of the input", err
			}
		}
	}
	if workloadOf.Kind == controller.Kind && workloadOf.Name == controller.Name {
		return nil, "", fmt.Errorf("the input has no %s %s: %w", controller.Kind, controller.Name, errNoTemplate)
	}
	return nil, "", fmt.Errorf("the input has neither %s %s nor %s %s: %w", controller.Kind, controller.Name, workloadOf.Kind, workloadOf.Name, errNoTemplate)
}

func writeVerifications(cmd *cobra.Command, all []verification, output string) error {
	out := cmd.OutOrStdout()
	if output == "json" {
		if all == nil {
			all = []verification{}
		}
		if err := writeJSON(out, all); err != nil {
			return err
		}
	}
	wrong := 0
	for _, v := range all {
		if v.Verdict != verified {
			wrong++
		}
		if output == "json" {
			continue
		}
		fmt.Fprintf(out, "Pod %s/%s: %s: %s\n", v.Namespace, v.Pod, v.Verdict, cell(v.Text))
		if v.Configuration != "" {
			fmt.Fprintf(out, "  recorded: version %s, configuration %s, collector %s\n", cell(named(v.Version)), cell(v.Configuration), cell(v.Collector))
		}
		if v.Template != "" {
			fmt.Fprintf(out, "  template: %s\n", v.Template)
		}
		for _, d := range v.Differences {
			fmt.Fprintf(out, "  differs: %s: want %q, is %q\n", d.Field, d.Want, d.Got)
		}
	}
	if len(all) == 0 && output != "json" {
		fmt.Fprintln(out, "no pods")
	}
	if wrong > 0 {
		return fmt.Errorf("%s not verified", count(wrong, "pod"))
	}
	return nil
}
