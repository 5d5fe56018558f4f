package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/webhook/inject"
)

// checkPods tries a pod in each opted-in namespace and looks at those that run.
func (c *checker) checkPods(ctx context.Context) {
	c.check = "namespaces"
	namespaces, pods, err := c.in.survey(ctx, c.cluster, "")
	if err != nil {
		c.unknown("pods", err)
		return
	}
	if len(namespaces) == 0 {
		c.warn(c.programs.Kubectl+" label namespace NAME "+injection.LabelWiring+"="+injection.WiringEnabled, "no namespace opted in: nothing is wired")
	}
	for i := range namespaces {
		c.checkNamespace(ctx, &namespaces[i])
	}
	drifted := map[string]int{}
	for _, p := range pods {
		if p.state.Drifted() {
			drifted[p.namespace]++
		}
	}
	for _, name := range sortedKeys(drifted, strings.Compare) {
		c.warn(c.programs.Novawire+" status -n "+name+c.programs.NovawireFlags, "%s: %s missing, stale or changed", name, count(drifted[name], "pod"))
	}
	c.check = "names"
	problems := auditNames(pods)
	for _, p := range problems {
		c.warn(p.fix(c.programs.Kubectl), "%s", p)
	}
	if len(problems) == 0 {
		c.ok("every service name belongs to one workload and stays")
	}
}

// checkNamespace asks the API server, in dry runs, for a small pod with the sidecar and,
// if it refuses it, for the same without. So quotas, limits and Pod Security decide as they will.
func (c *checker) checkNamespace(ctx context.Context, ns *metav1.PartialObjectMetadata) {
	pod := probePod(ns.Name)
	tried, err := c.tryPod(ctx, pod)
	switch {
	case err == nil && noRoom(tried) != "":
		c.warn(c.sidecarFix(ns.Name), "%s: a new pod is wired without the sidecar: the limits of the namespace refuse it (%s)", ns.Name, noRoom(tried))
		return
	case err == nil && c.in.state(tried, ns).PodState != injection.PodMissing:
		c.ok("%s: a new pod is wired, and quotas, limits and Pod Security admit it", ns.Name)
		return
	case err == nil:
		c.fail(c.programs.Novawire+" check webhooks"+c.programs.NovawireFlags, "%s: a new pod is not wired: the API server does not call the webhook, or gets no answer", ns.Name)
		return
	case isForbiddenCall(err):
		c.unknown(ns.Name, err)
		return
	}
	pod.Labels[injection.LabelWiring] = injection.WiringDisabled
	if _, plain := c.tryPod(ctx, pod); plain != nil {
		c.warn("", "%s: a small pod is refused even without the sidecar: %v", ns.Name, plain)
		return
	}
	c.fail(c.sidecarFix(ns.Name), "%s: a pod is refused because of the sidecar: %v", ns.Name, err)
}

// noRoom returns the note of the status annotation about limits that have no room for the
// sidecar, or "".
func noRoom(pod *corev1.Pod) string {
	status, _ := inject.ReadStatus(pod.Annotations)
	note, _ := status.RefusedSidecar()
	return strings.TrimSpace(string(note.Reason) + " " + note.Subject)
}

// sidecarFix avoids the sidecar if there is a gateway, else makes it smaller.
func (c *checker) sidecarFix(namespace string) string {
	if g := c.in.config.Injection.Gateway; g.GRPCEndpoint != "" || g.HTTPEndpoint != "" {
		return c.programs.Kubectl + " annotate namespace " + namespace + " " + injection.AnnotationCollector + "=gateway"
	}
	return "raise the quota or the limit range of " + namespace + ", or set inject.nova.dev/sidecar-memory-limit and its siblings on the namespace (docs/annotations.md)"
}

func (c *checker) tryPod(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	raw, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	return kubernetes.Pods.TryCreate(ctx, c.cluster, pod.Namespace, raw)
}

// isForbiddenCall reports whether the caller has no right to try. A quota is Forbidden too.
func isForbiddenCall(err error) bool {
	return !apierrors.IsForbidden(err) && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown || strings.Contains(err.Error(), "cannot create resource")
}

// probePod is a pod that passes Pod Security restricted and names its resources.
func probePod(namespace string) *corev1.Pod {
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Mi")}
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{GenerateName: "novawire-check-", Namespace: namespace, Labels: map[string]string{}},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "check", Image: "novawire-check:dry-run",
				Resources:       corev1.ResourceRequirements{Requests: size, Limits: size},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
}

// checkSecrets looks for the Secrets that the CronJobs of backups name. It reads their
// metadata alone.
func (c *checker) checkSecrets(ctx context.Context) {
	c.check = "backups"
	jobs, err := kubernetes.CronJobs.List(ctx, c.cluster, "", metav1.ListOptions{LabelSelector: resources.LabelManagedBy + "=" + resources.ManagedBy})
	if err != nil {
		c.unknown("CronJobs of backups", err)
		return
	}
	type secret struct{ namespace, name string }
	users := map[secret]string{}
	for i := range jobs {
		for _, name := range secretsOf(&jobs[i]) {
			users[secret{jobs[i].Namespace, name}] = jobs[i].Name
		}
	}
	missing := 0
	for s, user := range users {
		_, err := kubernetes.Secrets.Metadata(ctx, c.cluster, s.namespace, s.name)
		switch {
		case apierrors.IsNotFound(err):
			missing++
			c.fail("create the Secret (docs/secrets.md), or name another in the annotations", "Secret %s/%s does not exist: CronJob %s cannot run", s.namespace, s.name, user)
		case err != nil:
			missing++
			c.unknown("Secret "+s.namespace+"/"+s.name, err)
		}
	}
	if missing == 0 {
		c.ok("%s, and the %s that they name exist", count(len(jobs), "CronJob"), count(len(users), "Secret"))
	}
}

// secretsOf returns the Secrets that the pods of a CronJob cannot start without.
func secretsOf(job *batchv1.CronJob) (names []string) {
	add := func(name string, optional *bool) {
		if name != "" && (optional == nil || !*optional) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	spec := &job.Spec.JobTemplate.Spec.Template.Spec
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, v := range container.Env {
			if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
				add(v.ValueFrom.SecretKeyRef.Name, v.ValueFrom.SecretKeyRef.Optional)
			}
		}
	}
	for _, volume := range spec.Volumes {
		if volume.Secret != nil {
			add(volume.Secret.SecretName, volume.Secret.Optional)
		}
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.Secret != nil {
				add(source.Secret.Name, source.Secret.Optional)
			}
		}
	}
	return names
}
