package workload_test

import (
	"testing"

	"github.com/nova/novawire/internal/workload"
)

func controlledBy(kind, name string) []workload.OwnerReference {
	return []workload.OwnerReference{{Kind: "Other", Name: "x"}, {Kind: kind, Name: name, Controller: true}}
}

func TestOwnerOf(t *testing.T) {
	cases := map[string]struct {
		pod  workload.Pod
		want workload.Owner
	}{
		"a Deployment":                    {workload.Pod{Labels: map[string]string{"pod-template-hash": "5d8f"}, Owners: controlledBy("ReplicaSet", "feed-5d8f")}, workload.Owner{Kind: "Deployment", Name: "feed"}},
		"an Argo Rollout":                 {workload.Pod{Labels: map[string]string{"rollouts-pod-template-hash": "5d8f"}, Owners: controlledBy("ReplicaSet", "feed-5d8f")}, workload.Owner{Kind: "Rollout", Name: "feed"}},
		"a ReplicaSet without a parent":   {workload.Pod{Owners: controlledBy("ReplicaSet", "feed-5d8f")}, workload.Owner{Kind: "ReplicaSet", Name: "feed-5d8f"}},
		"a DeploymentConfig":              {workload.Pod{Labels: map[string]string{"deploymentconfig": "feed"}, Owners: controlledBy("ReplicationController", "feed-1")}, workload.Owner{Kind: "DeploymentConfig", Name: "feed"}},
		"a CronJob":                       {workload.Pod{Owners: controlledBy("Job", "report-29123456")}, workload.Owner{Kind: "CronJob", Name: "report"}},
		"a Job whose name ends in a date": {workload.Pod{Owners: controlledBy("Job", "import-20261123")}, workload.Owner{Kind: "Job", Name: "import-20261123"}},
		"a custom controller":             {workload.Pod{Owners: controlledBy("CloneSet", "feed")}, workload.Owner{Kind: "CloneSet", Name: "feed"}},
		"a pod alone":                     {workload.Pod{Name: "debug-0"}, workload.Owner{Kind: "Pod", Name: "debug-0"}},
		"a pod with generateName":         {workload.Pod{Name: "debug-x2v9k", GenerateName: "debug-"}, workload.Owner{Kind: "Pod", Name: "debug"}},
		"an owner that does not control":  {workload.Pod{Name: "debug", Owners: []workload.OwnerReference{{Kind: "Node", Name: "n"}}}, workload.Owner{Kind: "Pod", Name: "debug"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := workload.OwnerOf(c.pod); got != c.want {
				t.Errorf("owner is %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOwnerFromName(t *testing.T) {
	cases := map[string]struct {
		pod    string
		labels map[string]string
		want   workload.Owner
	}{
		"the template hash is a label": {"feed-5d8f7c9b46-x2v9k", map[string]string{"pod-template-hash": "5d8f7c9b46"}, workload.Owner{Kind: "Deployment", Name: "feed"}},
		"the Job is a label":           {"report-29123456-x2v9k", map[string]string{"batch.kubernetes.io/job-name": "report-29123456"}, workload.Owner{Kind: "CronJob", Name: "report"}},
		"the Job has no schedule":      {"import-x2v9k", map[string]string{"batch.kubernetes.io/job-name": "import"}, workload.Owner{Kind: "Job", Name: "import"}},
		"the ordinal is a label":       {"postgres-0", map[string]string{"apps.kubernetes.io/pod-index": "0"}, workload.Owner{Kind: "StatefulSet", Name: "postgres"}},
		"the revision is a label":      {"agent-x2v9k", map[string]string{"controller-revision-hash": "1"}, workload.Owner{Kind: "DaemonSet", Name: "agent"}},
		"the shape of a Deployment's":  {"feed-5d8f7c9b46-x2v9k", nil, workload.Owner{Name: "feed"}},
		"the shape of a StatefulSet's": {"postgres-0", nil, workload.Owner{Name: "postgres"}},
		"the shape of a CronJob's":     {"report-29123456-x2v9k", nil, workload.Owner{Name: "report"}},
		"a name of words":              {"one-house", nil, workload.Owner{Name: "one-house"}},
		"a name without a dash":        {"debug", nil, workload.Owner{Name: "debug"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := workload.OwnerFromName(c.pod, c.labels); got != c.want {
				t.Errorf("owner is %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestServiceOf(t *testing.T) {
	owner := workload.Owner{Kind: "Deployment", Name: "feed"}
	labels := map[string]string{"app": "a", "name": "n", "empty": ""}
	cases := map[string]struct {
		annotation workload.Annotation
		nameLabels []string
		want       workload.Service
	}{
		"the annotation comes first":        {workload.Annotation{Value: "x", From: "pod"}, []string{"app"}, workload.Service{Name: "x", Rule: workload.ByAnnotation, From: "pod"}},
		"then the first label with a value": {workload.Annotation{}, []string{"none", "empty", "name", "app"}, workload.Service{Name: "n", Rule: workload.ByLabel, From: "name"}},
		"then the owner":                    {workload.Annotation{}, []string{"none"}, workload.Service{Name: "feed", Rule: workload.ByOwner, From: "Deployment"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := workload.ServiceOf(c.annotation, c.nameLabels, labels, owner); got != c.want {
				t.Errorf("service is %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAnnotationOf(t *testing.T) {
	const key = "inject.nova.dev/service-name"
	cases := map[string]struct {
		namespace, pod map[string]string
		want           workload.Annotation
	}{
		"the pod's":       {map[string]string{key: "n"}, map[string]string{key: "p"}, workload.Annotation{Value: "p", From: "pod"}},
		"the namespace's": {map[string]string{key: "n"}, map[string]string{"other": "p"}, workload.Annotation{Value: "n", From: "namespace"}},
		"the namespace's, if the pod's is refused": {map[string]string{key: "n"}, map[string]string{key: "a\nb"}, workload.Annotation{Value: "n", From: "namespace"}},
		"none": {nil, nil, workload.Annotation{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := workload.AnnotationOf(c.namespace, c.pod); got != c.want {
				t.Errorf("annotation is %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestServiceOfEnvironment(t *testing.T) {
	cases := map[string]struct{ name, attributes, want string }{
		"the variable":                {"feed", "service.name=other", "feed"},
		"the attribute":               {"", "a=b,service.name=other%20one", "other one"},
		"neither":                     {"", "a=b", ""},
		"an escaped dollar":           {"a$$(b)", "", "a$(b)"},
		"a reference to a variable":   {"$(NAME)", "", ""},
		"a dollar before a reference": {"$$$(NAME)", "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := workload.ServiceOfEnvironment(c.name, c.attributes); got != c.want {
				t.Errorf("service is %q, want %q", got, c.want)
			}
		})
	}
}

func TestGeneratedSuffix(t *testing.T) {
	for name, want := range map[string]string{
		"feed":            "",
		"user-service":    "",
		"shard-3":         "",
		"release-2026":    "",
		"one-crypt":       "", // no vowel, but a word
		"http-proxies":    "",
		"import-20261126": "20261126",
		"build-x2v9k":     "x2v9k",
		"feed-00042":      "",
		"feed-5d8f7c9b46": "5d8f7c9b46",
		"feed-deadbeef":   "", // letters alone may be a word
		"run-1a2b3c4d":    "1a2b3c4d",
		"task-0b51c1d4-6a1f-4f0e-9a51-2f6d1c9b7e10": "0b51c1d4-6a1f-4f0e-9a51-2f6d1c9b7e10",
	} {
		if got := workload.GeneratedSuffix(name); got != want {
			t.Errorf("%s: suffix %q, want %q", name, got, want)
		}
	}
}

// The labels are those that the controllers set on pods.
func TestServiceOf_Controllers(t *testing.T) {
	for name, c := range map[string]struct {
		labels map[string]string
		want   string
	}{
		"a Knative revision":            {map[string]string{"serving.knative.dev/service": "feed", "serving.knative.dev/configuration": "feed", "serving.knative.dev/revision": "feed-00042"}, "feed"},
		"a Knative Configuration alone": {map[string]string{"serving.knative.dev/configuration": "feed", "serving.knative.dev/revision": "feed-00042"}, "feed"},
		"a KEDA ScaledJob":              {map[string]string{"scaledjob.keda.sh/name": "import"}, "import"},
		"a runner of a scale set":       {map[string]string{"actions.github.com/scale-set-name": "runners", "actions-ephemeral-runner": "True"}, "runners"},
		"a runner of a deployment":      {map[string]string{"runner-deployment-name": "runners", "runner-template-hash": "5d8f"}, "runners"},
		"a Tekton task":                 {map[string]string{"tekton.dev/taskRun": "build-run-x2v9k", "tekton.dev/task": "build", "tekton.dev/pipeline": "ci"}, "build"},
		"a task inside of a pipeline":   {map[string]string{"tekton.dev/taskRun": "ci-x2v9k-lint", "tekton.dev/pipeline": "ci", "tekton.dev/pipelineTask": "lint"}, "ci"},
		"a task of a run without one":   {map[string]string{"tekton.dev/taskRun": "ci-x2v9k-lint", "tekton.dev/pipeline": "ci-x2v9k"}, "ci"},
		"a label of somebody else":      {map[string]string{"tekton.dev/task": "build"}, "owner"},
		"an Argo Workflow":              {map[string]string{"workflows.argoproj.io/workflow": "report-bcdfg"}, "report"},
		"an Argo Workflow with a name":  {map[string]string{"workflows.argoproj.io/workflow": "hello-world"}, "hello-world"},
		"an Argo CronWorkflow":          {map[string]string{"workflows.argoproj.io/workflow": "report-1795737600"}, "report"},
		"an Airflow task":               {map[string]string{"dag_id": "etl", "task_id": "load", "run_id": "manual__2026", "airflow_version": "3.0.6"}, "etl"},
		"a dag of another program":      {map[string]string{"dag_id": "etl"}, "owner"},
	} {
		t.Run(name, func(t *testing.T) {
			got := workload.ServiceOf(workload.Annotation{}, nil, c.labels, workload.Owner{Kind: "Job", Name: "owner"})
			if got.Name != c.want || (got.Rule == workload.ByController) != (c.want != "owner") {
				t.Errorf("service %+v, want %s", got, c.want)
			}
			c.labels["app.kubernetes.io/name"] = "chosen"
			if got := workload.ServiceOf(workload.Annotation{}, []string{"app.kubernetes.io/name"}, c.labels, workload.Owner{}); got.Name != "chosen" {
				t.Errorf("a label of the configuration is weaker: %+v", got)
			}
		})
	}
}
