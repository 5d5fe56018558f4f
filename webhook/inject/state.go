package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// Reasons of the state of a pod that has drifted.
const (
	NotReviewed        Reason = "not-reviewed"
	OlderConfiguration Reason = "older-configuration"
	OlderSidecarImage  Reason = "older-sidecar-image"
	StatusRemoved      Reason = "status-removed"
	ChangedAfterwards  Reason = "changed-after-admission"
	LeftByPolicy       Reason = "left-by-policy"
)

// State is how a pod that exists compares with what the engine would do with it now.
type State struct {
	injection.PodState
	Reason Reason
	Detail string // specific to this pod; "" for none
}

// String returns the state as one line of text.
func (s State) String() string {
	text := string(s.PodState) + ": " + s.Reason.Text()
	if s.Detail != "" {
		text += ": " + s.Detail
	}
	return text
}

// State decides about a pod that exists, in a namespace that opted in. It is the decision of
// [Engine.Pod], read as a comparison: what the engine would still change is the drift. It
// returns an error only if raw cannot be decoded as a pod.
func (e *Engine) State(raw []byte, ns Namespace) (State, error) {
	result, err := e.Pod(raw, ns)
	if err != nil {
		return State{}, err
	}
	if result.Action == Skipped {
		return State{injection.PodSkipped, result.Reason, ""}, nil
	}
	if result.Action == Unchanged { // most pods, without another look
		return State{injection.PodWired, AsAsked, ""}, nil
	}
	pod, err := decode(raw)
	if err != nil {
		return State{}, err
	}
	switch result.Action {
	case Rewired:
		return e.in(ns).staleState(&pod), nil
	case Completed:
		return State{injection.PodChanged, ChangedAfterwards, pod.missingParts(result.Patch)}, nil
	default:
		if features, left := UnsupportedByPolicy(pod.Metadata.Annotations); left {
			return State{injection.PodSkipped, LeftByPolicy, features}, nil
		}
		if hasOurSidecar(&pod) {
			return State{injection.PodChanged, StatusRemoved, ""}, nil
		}
		return State{injection.PodMissing, NotReviewed, ""}, nil
	}
}

// staleState says which configuration, or which image, the pod was wired with.
func (e *Engine) staleState(p *pod) State {
	status, _ := ReadStatus(p.Metadata.Annotations)
	if status.Config == e.hash { // the engine would move the sidecar's ports
		return State{injection.PodChanged, ChangedAfterwards, "a container listens on a port of the sidecar"}
	}
	if c := ourSidecar(p); c != nil && status.Collector == injection.CollectorSidecar && c.Image != e.config.Sidecar.Image {
		return State{injection.PodStale, OlderSidecarImage, c.Image + ", now " + e.config.Sidecar.Image}
	}
	return State{injection.PodStale, OlderConfiguration, status.Config + ", now " + e.hash}
}

// HashIn returns the hash of the configuration that applies in a namespace.
func (e *Engine) HashIn(namespace string) string { return e.in(Namespace{Name: namespace}).hash }

func ourSidecar(p *pod) *container {
	for _, list := range [...][]container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if list[i].Name == sidecarapi.ContainerName {
				return &list[i]
			}
		}
	}
	return nil
}

// hasOurSidecar reports whether the pod has a sidecar that this program placed: a user's
// container of the same name does not carry the variable.
func hasOurSidecar(p *pod) bool {
	c := ourSidecar(p)
	if c == nil {
		return false
	}
	for _, v := range c.Env.known {
		if v.Name == sidecarapi.EnvResourceAttributes {
			return true
		}
	}
	return false
}

// missingParts names the containers that a patch would complete, and the sidecar if the patch
// would add it.
func (p *pod) missingParts(patch []byte) string {
	var operations []struct {
		Path string `json:"path"`
	}
	if json.Unmarshal(patch, &operations) != nil {
		return ""
	}
	var parts []string
	for _, o := range operations {
		path := strings.Split(o.Path, "/") // "", spec, containers, 0, env, …
		if len(path) < 3 || path[1] != "spec" {
			continue
		}
		part := "container " + sidecarapi.ContainerName
		if list := p.Spec.list(path[2]); len(path) > 4 {
			if i, err := strconv.Atoi(path[3]); err == nil && i < len(list) {
				part = "container " + list[i].Name
			}
		}
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

// list returns the containers that a member of the spec holds.
func (s *spec) list(name string) []container {
	if name == "initContainers" {
		return s.InitContainers
	}
	return s.Containers
}
