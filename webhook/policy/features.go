package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/webhook/inject"
)

// Feature is something that the engine does and the policy does not.
type Feature struct {
	Name    string // the word in the status annotation of a pod that was left alone; "" for other outcomes
	Engine  string // what the engine does
	Outcome string // what happens with the policy
}

const leftAlone = "the pod is left alone"

// Features lists them in the order of docs/policy.md.
func Features() []Feature {
	return []Feature{
		{"annotation-value", "ignores a wrong or unknown `inject.nova.dev` annotation, uses the next weaker value and reports it; reads every notation of a ratio, a quantity or a percent-encoded list", leftAlone},
		{"allowed-overrides", "ignores an annotation that `injection.allowedOverrides` does not allow", leftAlone + "; one without such annotations is wired"},
		{"redaction", "adds the rules of the annotation `inject.nova.dev/redact` to those of the configuration", leftAlone + ", so that nothing leaves it that should be redacted. Rules of the configuration are used"},
		{"name-of-runs", "shortens the name of a run to what its runs have in common (Tekton pipelines, Argo workflows without a template)", leftAlone + ", unless an annotation or a label of `serviceNameLabels` names the service"},
		{"port-taken", "moves the sidecar to other ports if the pod listens on 4317, 4318 or 18888", leftAlone + ", unless its collector is `gateway` or `none`"},
		{"user-collector", "keeps a container that is named `novawire-collector`", leftAlone},
		{"repeated-variable", "uses the last of several variables with one name", leftAlone},
		{"container-attributes", "repairs `OTEL_RESOURCE_ATTRIBUTES` of a container: spaces, stray percent signs, text in other alphabets", leftAlone},
		{"image-name", "percent-encodes a version that has other characters than printable ASCII", leftAlone},
		{"scrape-of-a-sidecar", "merges scrape annotations that point to a sidecar, such as Istio's agent", leftAlone + ". Istio's webhook runs after the policy and finds the app's annotations, as Istio expects"},
		{"", "fits the sidecar into the `LimitRange`s and `ResourceQuota`s of its namespace", "they are not read: the API server refuses a pod whose sidecar does not fit. `novawire check` names such namespaces; give them `inject.nova.dev/sidecar-…` annotations that fit, or the collector `gateway`, before they opt in"},
		{"", "wires a pod again that carries the status annotation of an older configuration", "the pod stays as it was created"},
		{"", "wires a container that another webhook adds to a wired pod", "the container gets no variables: policies run before webhooks"},
		{"", "counts reviews and reasons, writes Events, and warns about workloads at `kubectl apply`", "the status annotation of the pod is the only report. The API server counts in `apiserver_mutating_admission_policy_check_total`"},
		{"", "wires a pod of any size", "CEL has a cost limit. A pod with many hundreds of variables can exceed it; the API server then creates it as it was, without a report"},
		{"", "runs on Kubernetes before 1.36, and without native sidecars", "`novawire policy` refuses a configuration with an older `kubernetesVersion`"},
	}
}

// comments returns the features with a name as comments of YAML.
func comments() string {
	var lines []string
	for _, f := range Features() {
		if f.Name != "" {
			lines = append(lines, "#   "+f.Name+": the webhook "+f.Engine)
		}
	}
	return strings.Join(lines, "\n")
}

// Warnings returns what a configuration asks for and the policy does less well, one line each.
func Warnings(config inject.Config) (lines []string) {
	warn := func(where string, p injection.Policy) {
		if p.Pod != nil || p.Namespace != nil || p.SidecarMaximum != (injection.Maximum{}) {
			lines = append(lines, where+"allowedOverrides: a pod with an annotation that is not allowed is left alone (allowed-overrides)")
		}
	}
	warn("injection.", config.AllowedOverrides)
	for _, name := range slices.Sorted(maps.Keys(config.Namespaces)) {
		if p := config.Namespaces[name].AllowedOverrides; p != nil {
			warn("injection.namespaces."+name+".", *p)
		}
		if injection.IsExcluded(name) {
			lines = append(lines, "injection.namespaces."+name+": pods of this namespace are never wired")
		}
	}
	return lines
}
