package resources

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
)

// A database on dedicated nodes is backed up on these nodes.
func TestPod_RunsWhereTheDatabaseMay(t *testing.T) {
	set := setOf(t, `
serviceName: s
template:
  spec:
    nodeSelector: {kubernetes.io/arch: arm64}
    tolerations: [{key: dedicated, value: db, effect: NoSchedule}]
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: [db]}]}]
      podAntiAffinity:
        requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]
    containers: [{name: db, image: 'postgres:17'}]`)
	c := DefaultConfig()
	c.Pod = Pod{
		Labels:            map[string]string{"team": "data", injection.LabelWiring: "enabled"},
		Annotations:       map[string]string{"karpenter.sh/do-not-disrupt": "false", "note": "x"},
		PriorityClassName: "batch",
	}
	target := targetOf(set, backupapi.DefaultRequest())
	for _, template := range []corev1.PodTemplateSpec{
		c.BackupCronJob(target).Spec.JobTemplate.Spec.Template, c.DrillCronJob(target).Spec.JobTemplate.Spec.Template,
	} {
		want, got := set.Spec.Template.Spec, template.Spec
		if diff := cmp.Diff(want.NodeSelector, got.NodeSelector) + cmp.Diff(want.Tolerations, got.Tolerations) + cmp.Diff(want.Affinity.NodeAffinity, got.Affinity.NodeAffinity); diff != "" {
			t.Error(diff)
		}
		if got.Affinity.PodAntiAffinity != nil {
			t.Error("the anti-affinity of the database's replicas was inherited")
		}
		if got.PriorityClassName != "batch" || template.Labels["team"] != "data" || template.Labels[injection.LabelWiring] != injection.WiringDisabled {
			t.Errorf("priority %q, labels %v", got.PriorityClassName, template.Labels)
		}
		annotations := map[string]string{"karpenter.sh/do-not-disrupt": "false", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "note": "x"}
		if diff := cmp.Diff(annotations, template.Annotations); diff != "" {
			t.Error(diff)
		}
	}
}

func TestConfig_Validate_Pod(t *testing.T) {
	for problem, pod := range map[string]Pod{
		"pod.labels.a b":        {Labels: map[string]string{"a b": "x"}},
		"pod.labels.a":          {Labels: map[string]string{"a": "x y"}},
		"pod.annotations.a b":   {Annotations: map[string]string{"a b": "x"}},
		"pod.priorityClassName": {PriorityClassName: "High!"},
		"":                      {Labels: map[string]string{"example.org/team": "data"}, Annotations: map[string]string{"Example.org/Note": "any text"}, PriorityClassName: "high"},
	} {
		c := DefaultConfig()
		c.Pod = pod
		err := c.Validate()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%+v: %v, want %q", pod, err, problem)
		}
	}
}
