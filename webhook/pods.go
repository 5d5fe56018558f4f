package webhook

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/webhook/inject"
)

// Namespaces gives the defaults of a namespace. It always has an answer: the
// best it could learn in a moment.
type Namespaces interface {
	Namespace(ctx context.Context, name string) inject.Namespace
}

// Events records what the owner of a pod must act on. It neither blocks nor
// fails.
type Events interface {
	Warn(namespace string, owner ObjectReference, reason inject.Reason, message string)
}

// ObjectReference names an object for an Event.
type ObjectReference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

// Pods serves the reviews of pods.
func Pods(engines Engines, namespaces Namespaces, events Events, metrics *Metrics) http.Handler {
	p := pods{engines, namespaces, events}
	return &handler{name: "pod", undone: "not wired", unreadable: UnreadablePod, answer: p.answer, Metrics: metrics}
}

type pods struct {
	engines    Engines
	namespaces Namespaces
	events     Events
}

func (p pods) answer(ctx context.Context, req *request) (answer, error) {
	result, err := p.engines.Engine().Pod(req.Object, p.namespaces.Namespace(ctx, req.Namespace))
	if err != nil {
		return answer{}, err
	}
	if !req.DryRun {
		p.record(req, result.Decision)
	}
	return answer{
		response: response{patch: result.Patch, warnings: warnings(result.Decision)},
		action:   result.Action, reason: result.Reason,
	}, nil
}

// warnings are the notes that come back at apply. A controller's client drops
// those of its pods; for them there are the workload's own.
func warnings(d inject.Decision) (lines []string) {
	if d.Action == inject.Skipped && d.Reason.Level() > inject.Info {
		lines = append(lines, "novawire: not wired: "+d.Reason.Text())
	}
	for _, n := range d.Notes {
		if n.Reason.Level() > inject.Info {
			lines = append(lines, "novawire: "+n.String())
		}
	}
	return lines
}

// record tells the pod's owner what it must act on.
func (p pods) record(req *request, d inject.Decision) {
	var owner ObjectReference
	tell := func(reason inject.Reason, message string) {
		if reason.Level() < inject.Act {
			return
		}
		if owner.Kind == "" {
			owner = controllerOf(req.Object)
		}
		if owner.Kind != "" {
			p.events.Warn(req.Namespace, owner, reason, message)
		}
	}
	if d.Action == inject.Skipped {
		tell(d.Reason, d.Reason.Text())
	}
	for _, n := range d.Notes {
		tell(n.Reason, n.String())
	}
}

func controllerOf(pod []byte) ObjectReference {
	var owned struct {
		Metadata struct {
			Owners []ObjectReference `json:"ownerReferences"`
		} `json:"metadata"`
	}
	if json.Unmarshal(pod, &owned) != nil {
		return ObjectReference{}
	}
	for _, o := range owned.Metadata.Owners {
		if o.Controller {
			return o
		}
	}
	return ObjectReference{}
}
