package workload

import "slices"

// ControllerLabel is a label that names a service whose pods have another owner with each run.
type ControllerLabel struct {
	Label     string
	Condition string // a label that the pod must carry too; "" for none
	Run       bool   // the value is the name of one run
}

// controllerNames are the labels of controllers whose pods, Jobs or revisions get a new
// name with every run. The name of what runs again is in a label. For an entry with a
// condition, the pod must carry that label too.
var controllerNames = []ControllerLabel{
	{Label: "serving.knative.dev/service"}, // Knative: Deployments are revisions
	{Label: "serving.knative.dev/configuration"},
	{Label: "scaledjob.keda.sh/name"},                                          // KEDA: a Job for each event
	{Label: "actions.github.com/scale-set-name"},                               // Actions Runner Controller: a pod for each workflow job
	{Label: "runner-deployment-name", Condition: "runner-template-hash"},       // its older kinds
	{Label: "tekton.dev/task", Condition: "tekton.dev/taskRun"},                // Tekton
	{Label: "tekton.dev/pipeline", Condition: "tekton.dev/taskRun", Run: true}, // a task that is part of its pipeline; that of a PipelineRun has the run's name
	{Label: "workflows.argoproj.io/cron-workflow"},                             // Argo sets it on Workflows; pods have it by podMetadata
	{Label: "workflows.argoproj.io/workflow-template"},
	{Label: "workflows.argoproj.io/workflow", Run: true},
	{Label: "dag_id", Condition: "airflow_version"}, // Airflow: a pod for each task
}

// ControllerLabels returns the labels, the strongest first.
func ControllerLabels() []ControllerLabel { return slices.Clone(controllerNames) }

// nameByController returns the name by a label of the pod's controller and the label, or
// "" if it has none.
func nameByController(labels map[string]string) (name, label string) {
	for _, c := range controllerNames {
		value := labels[c.Label]
		if _, ok := labels[c.Condition]; value == "" || c.Condition != "" && !ok {
			continue
		}
		if c.Run {
			value = nameOfRuns(value)
		}
		return value, c.Label
	}
	return "", ""
}

// nameOfRuns removes from the name of a run what generateName or a schedule has appended.
// Names of runs that somebody chose stay.
func nameOfRuns(run string) string {
	head, tail, ok := cutLast(run)
	if ok && len(tail) == 5 && isRandom(tail) {
		return head
	}
	suffix := GeneratedSuffix(run)
	if suffix == "" || len(suffix)+1 >= len(run) {
		return run
	}
	return run[:len(run)-len(suffix)-1]
}
