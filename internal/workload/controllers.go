package workload

// controllerNames are the labels of controllers whose pods, Jobs or revisions get a new
// name with every run. The name of what runs again is in a label. For an entry with a
// condition, the pod must carry that label too.
var controllerNames = []struct {
	label     string
	condition string
	run       bool // the value is the name of one run
}{
	{label: "serving.knative.dev/service"}, // Knative: Deployments are revisions
	{label: "serving.knative.dev/configuration"},
	{label: "scaledjob.keda.sh/name"},                                          // KEDA: a Job for each event
	{label: "actions.github.com/scale-set-name"},                               // Actions Runner Controller: a pod for each workflow job
	{label: "runner-deployment-name", condition: "runner-template-hash"},       // its older kinds
	{label: "tekton.dev/task", condition: "tekton.dev/taskRun"},                // Tekton
	{label: "tekton.dev/pipeline", condition: "tekton.dev/taskRun", run: true}, // a task that is part of its pipeline; that of a PipelineRun has the run's name
	{label: "workflows.argoproj.io/cron-workflow"},                             // Argo sets it on Workflows; pods have it by podMetadata
	{label: "workflows.argoproj.io/workflow-template"},
	{label: "workflows.argoproj.io/workflow", run: true},
	{label: "dag_id", condition: "airflow_version"}, // Airflow: a pod for each task
}

// ControllerLabel is a label that names a service whose pods have another owner with each run.
type ControllerLabel struct {
	Label     string
	Condition string // a label that the pod must carry too; "" for none
	Run       bool   // the value is the name of one run
}

// ControllerLabels returns the labels, the strongest first.
func ControllerLabels() (list []ControllerLabel) {
	for _, c := range controllerNames {
		list = append(list, ControllerLabel{c.label, c.condition, c.run})
	}
	return list
}

// nameByController returns the name by a label of the pod's controller and the label, or
// "" if it has none.
func nameByController(labels map[string]string) (name, label string) {
	for _, c := range controllerNames {
		value := labels[c.label]
		if _, ok := labels[c.condition]; value == "" || c.condition != "" && !ok {
			continue
		}
		if c.run {
			value = nameOfRuns(value)
		}
		return value, c.label
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
