// Package lint finds mistakes that the API server accepts: annotations in the
// wrong place, two workloads with one service name, backup requests that are legal
// but unwise or that refer to missing objects. Its results become warnings at
// kubectl apply; none of them refuses an object.
package lint

import (
	"slices"
	"strings"

	"github.com/nova/novawire/api"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/webhook/inject"
)

// MisplacedAnnotations returns a note for each inject.nova.dev annotation of a
// workload itself, sorted by key. These annotations only have an effect on the
// workload's pod template.
func MisplacedAnnotations(annotations map[string]string) (notes []inject.Note) {
	for key := range annotations {
		if _, known := api.Find(injection.Keys(), key, api.OnWorkload); !known && strings.HasPrefix(key, injection.AnnotationPrefix) {
			notes = append(notes, inject.Note{Reason: inject.Misplaced, Subject: key})
		}
	}
	slices.SortFunc(notes, func(a, b inject.Note) int { return strings.Compare(a.Subject, b.Subject) })
	return notes
}
