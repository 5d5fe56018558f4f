package webhook

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/webhook/inject"
)

// Namespaces returns the annotations and the limits of a namespace, or none if it cannot
// read them in time. It never fails.
type Namespaces interface {
	Namespace(ctx context.Context, name string) inject.Namespace
}

// Events records Events about pods on their owners. It neither blocks nor fails.
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

// Pods returns the handler for reviews of pods: it wires them.
func Pods(engines Engines, namespaces Namespaces, events Events, metrics *Metrics) http.Handler {
	p := pods{engines, namespaces, events, metrics}
	return &handler{name: "pod", effect: "not wired", unreadable: UnreadablePod, answer: p.answer, metrics: metrics}
}

type pods struct {
	engines    Engines
	namespaces Namespaces
	events     Events
	metrics    *Metrics
}

func (p pods) answer(ctx context.Context, req *request) (answer, error) {
	result, err := p.engines.Engine().Pod(req.Object, p.namespaces.Namespace(ctx, req.Namespace))
	if err != nil {
		return answer{}, err
	}
	if !req.DryRun {
		p.record(req, result.Decision)
		p.metrics.countIgnored(req.Namespace, result.Decision)
		p.metrics.countPod(result.Action)
	}
	return answer{
		response: response{patch: result.Patch, warnings: warnings(result.Decision)},
		action:   result.Action, reason: result.Reason,
	}, nil
}

// warnings returns the notes that users see at kubectl apply. Controllers drop the
// warnings about pods that they create, so Workloads returns the same ones about
// the template.
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

// record writes an Event on the pod's owner for each reason of level Act.
func (p pods) record(req *request, d inject.Decision) {
	var owner ObjectReference
	warn := func(reason inject.Reason, message string) {
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
		warn(d.Reason, d.Reason.Text())
	}
	for _, n := range d.Notes {
		warn(n.Reason, n.String())
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
