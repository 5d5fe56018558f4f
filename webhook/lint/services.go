package lint

import (
	"context"
	"time"

	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// Services finds the workloads of a namespace by service name.
type Services interface {
	Named(ctx context.Context, engine *inject.Engine, ns inject.Namespace, service string) ([]workload.Owner, error)
}

// servicesTimeout bounds the search for other workloads: a warning must not delay an
// apply for longer.
const servicesTimeout = 500 * time.Millisecond

// ServiceNameClashes returns a note for each other workload of the namespace that
// has the same service name. If the search fails it returns no notes.
func ServiceNameClashes(ctx context.Context, services Services, engine *inject.Engine, ns inject.Namespace, owner workload.Owner, template []byte) (notes []inject.Note) {
	service := engine.ServiceName(template, ns, owner)
	ctx, cancel := context.WithTimeout(ctx, servicesTimeout)
	defer cancel()
	others, err := services.Named(ctx, engine, ns, service)
	if err != nil {
		return nil
	}
	for _, other := range others {
		if other != owner {
			notes = append(notes, inject.Note{Reason: inject.NameClash, Subject: other.Kind + " " + other.Name, Detail: service})
		}
	}
	return notes
}
