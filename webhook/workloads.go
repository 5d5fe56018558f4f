package webhook

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/lint"
)

// Actions and reasons of reviews that only return warnings.
const (
	Warned     inject.Action = "warned"
	Passed     inject.Action = "passed"
	Warnings   inject.Reason = "warnings"
	NoWarnings inject.Reason = "no-warnings"
)

// Workloads returns the handler for reviews of workloads. It changes nothing: it
// returns warnings about what will happen to the pods of the template.
func Workloads(engines Engines, namespaces Namespaces, services lint.Services, metrics *Metrics) http.Handler {
	w := workloads{engines, namespaces, services}
	return &handler{name: "workload", effect: "warnings are missing", unreadable: UnreadablePod, answer: w.answer, metrics: metrics}
}

type workloads struct {
	engines    Engines
	namespaces Namespaces
	services   lint.Services
}

// workloadObject has the fields of a workload of any kind that are read.
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
	var object, oldObject workloadObject
	if err := json.Unmarshal(req.Object, &object); err != nil {
		return answer{}, fmt.Errorf("decode %s: %w", req.Kind.Kind, err)
	}
	_ = json.Unmarshal(req.OldObject, &oldObject) // empty at CREATE
	engine, ns := w.engines.Engine(), w.namespaces.Namespace(ctx, req.Namespace)
	owner := workload.Owner{Kind: req.Kind.Kind, Name: object.Metadata.Name}
	result, err := engine.Template(object.template(), ns, owner)
	if err != nil {
		return answer{}, err
	}
	result.Notes = append(result.Notes, lint.MisplacedAnnotations(object.Metadata.Annotations)...)
	if result.Action != inject.Skipped && !bytes.Equal(object.template(), oldObject.template()) {
		result.Notes = append(result.Notes, lint.ServiceNameClashes(ctx, w.services, engine, ns, owner, object.template())...)
	}
	lines := warnings(result.Decision)
	if len(lines) == 0 {
		return answer{action: Passed, reason: NoWarnings}, nil
	}
	return answer{response: response{warnings: lines}, action: Warned, reason: Warnings}, nil
}
