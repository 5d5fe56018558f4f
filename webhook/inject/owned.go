package inject

import (
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
)

// OwnedVariables returns the names of the variables that the engine writes into
// containers. The user's own values of them stay.
func OwnedVariables() []string { return slices.Clone(variableNames[:]) }

// OwnedMetadata returns the keys of the labels and annotations that the engine writes.
func OwnedMetadata() (labels, annotations []string) {
	return slices.Clone(ownedLabels), append(slices.Clone(ownedAnnotations), injection.AnnotationStatus)
}

var ownedLabels = []string{injection.LabelLogging, injection.LabelMetrics}

var ownedAnnotations = []string{
	injection.AnnotationPrometheusScrape, injection.AnnotationPrometheusPort, injection.AnnotationPrometheusPath, injection.AnnotationPrometheusScheme,
	injection.AnnotationMetricsEndpoint,
}

// KeptIn returns the variables of a container that the user, or another webhook, had set.
func (s *Status) KeptIn(container string) []string {
	c, _ := s.container(container)
	return c.Kept
}

// Version returns the version of the program, as the status annotation records it.
func (e *Engine) Version() string { return e.config.Version }

// Replay returns the limits with which the decision that the status records is made
// again: those that refused the sidecar then, or else the present ones if they have
// changed it. Others did not count then.
func (s *Status) Replay(now *Limits) *Limits {
	note, refused := s.RefusedSidecar()
	if !refused {
		if slices.ContainsFunc(s.Notes, func(n string) bool { return strings.HasPrefix(n, string(Resized)+" ") }) {
			return now
		}
		return nil
	}
	var l Limits
	if note.Reason == RefusedByLimitRange {
		index := slices.Index(resourceNames[:], note.Subject)
		if index < 0 {
			return now // another version wrote it
		}
		l.container[index] = bounds{min: 2, max: 1} // nothing is within
		return &l
	}
	none := newQuota()
	if note.Subject == podsName {
		none.pods = 0
	}
	for i, name := range resourceNames {
		switch note.Subject {
		case "requests." + name:
			none.requests[i] = -1
		case "limits." + name:
			none.limits[i] = -1
		}
	}
	l.quotas = append(l.quotas, none)
	return &l
}
