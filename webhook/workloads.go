package webhook

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// Services finds the workloads of a namespace that have a service name, in a
// moment or not at all.
type Services interface {
	Named(ctx context.Context, engine *inject.Engine, ns inject.Namespace, service string) ([]workload.Owner, error)
}

// Reasons of warnings that only a workload can get.
const (
	Warned      inject.Action = "warned"
	Silent      inject.Action = "silent"
	Warnings    inject.Reason = "warnings"
	NothingToDo inject.Reason = "nothing-to-tell"
)

// Workloads serves the reviews of workloads: it warns, at apply, of what will
// happen to the pods of the template.
func Workloads(engines Engines, namespaces Namespaces, services Services, metrics *Metrics) http.Handler {
	w := workloads{engines, namespaces, services}
	return &handler{name: "workload", undone: "not wired", unreadable: UnreadablePod, answer: w.answer, Metrics: metrics}
}

type workloads struct {
	engines    Engines
	namespaces Namespaces
	services   Services
}

// workloadObject is the part that is read of every kind of workload.
type workloadObject struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Template    jsontext.Value `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template jsontext.Value `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
}

func (w *workloadObject) template() jsontext.Value {
	if t := w.Spec.JobTemplate.Spec.Template; len(t) > 0 {
		return t
	}
	return w.Spec.Template
}

func (w workloads) answer(ctx context.Context, req *request) (answer, error) {
	var now, before workloadObject
	if err := json.Unmarshal(req.Object, &now); err != nil {
		return answer{}, fmt.Errorf("read %s: %w", req.Kind.Kind, err)
	}
	_ = json.Unmarshal(req.OldObject, &before) // none, or the API server's own
	engine, ns := w.engines.Engine(), w.namespaces.Namespace(ctx, req.Namespace)
	owner := workload.Owner{Kind: req.Kind.Kind, Name: now.Metadata.Name}
	result, err := engine.Template(now.template(), ns, owner)
	if err != nil {
		return answer{}, err
	}
	result.Notes = append(result.Notes, inject.MisplacedAnnotations(now.Metadata.Annotations)...)
	if result.Action != inject.Skipped && !bytes.Equal(now.template(), before.template()) {
		result.Notes = append(result.Notes, w.clashes(ctx, engine, ns, owner, now.template())...)
	}
	lines := warnings(result.Decision)
	if len(lines) == 0 {
		return answer{action: Silent, reason: NothingToDo}, nil
	}
	return answer{response: response{warnings: lines}, action: Warned, reason: Warnings}, nil
}

// clashTimeout bounds the search for other workloads of a service name; a
// warning is not worth holding up an apply for longer.
const clashTimeout = 500 * time.Millisecond

// clashes notes other workloads of the namespace that report as the same service.
func (w workloads) clashes(ctx context.Context, engine *inject.Engine, ns inject.Namespace, owner workload.Owner, template []byte) (notes []inject.Note) {
	service := engine.ServiceName(template, ns, owner)
	ctx, cancel := context.WithTimeout(ctx, clashTimeout)
	defer cancel()
	others, err := w.services.Named(ctx, engine, ns, service)
	if err != nil {
		return nil // a warning less, not an apply less
	}
	for _, other := range others {
		if other != owner {
			notes = append(notes, inject.Note{Reason: inject.NameClash, Subject: other.Kind + " " + other.Name, Detail: service})
		}
	}
	return notes
}
