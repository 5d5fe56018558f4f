package injection

import (
	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/validate"
)

// addRedaction adds the rules of a layer to those of weaker layers: a pod cannot take back
// what the platform redacts. A rule with a mistake stays: what it leads to is for the rules
// to say. No refusal repeats a rule, because a pattern may hold a secret.
func (p Policy) addRedaction(r *Request, refusals []validate.Refusal, layer Layer) []validate.Refusal {
	text, ok := layer.Annotations[AnnotationRedact]
	if !ok || !p.may(layer.Source, AnnotationRedact) {
		return refusals // it was refused above
	}
	weaker := r.Redact
	r.Redact = redaction.Join(weaker, text)
	mistakes := redaction.Mistakes(text, r.Redact)
	if all := redaction.Mistakes(r.Redact, r.Redact); len(all) > len(mistakes)+len(redaction.Mistakes(weaker, weaker)) {
		mistakes = append(mistakes, "with the rules of the platform and the namespace: "+all[len(all)-1])
	}
	for _, mistake := range mistakes {
		refusals = append(refusals, validate.Refusal{Source: layer.Source, Setting: AnnotationRedact, Value: validate.Hidden, Problem: mistake, Ignored: true})
	}
	return refusals
}
