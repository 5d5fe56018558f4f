package backup

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nova/novawire/internal/validate"
)

// ParseServiceAccountAnnotations parses the annotation of a Namespace with that name, if
// the policy allows it. A bad value is refused as a whole, because a ServiceAccount without its role would
// run with another's.
func (p Policy) ParseServiceAccountAnnotations(namespace map[string]string) (map[string]string, []validate.Refusal) {
	text, ok := namespace[AnnotationServiceAccountAnnotations]
	if !ok {
		return nil, nil
	}
	if refusal, forbidden := forbids(p.Namespace, "a namespace", AnnotationServiceAccountAnnotations, text); forbidden {
		refusal.Source = "namespace"
		return nil, []validate.Refusal{refusal}
	}
	annotations := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || !isAnnotationKey(key) {
			problem := fmt.Sprintf("%q is not the key of an annotation", validate.Redact(key))
			if !ok {
				problem = fmt.Sprintf("%q has no equals sign", validate.Redact(pair))
			}
			refusal := validate.Refusal{Source: "namespace", Setting: AnnotationServiceAccountAnnotations, Value: validate.Redact(text), Allowed: "key=value,key=value"}
			refusal.Problem = problemOf(errors.New(problem), refusal.Value)
			return nil, []validate.Refusal{refusal}
		}
		annotations[key] = value
	}
	return annotations, nil
}

// isAnnotationKey reports whether a key is a name with an optional prefix, as
// Kubernetes defines qualified names.
func isAnnotationKey(key string) bool {
	prefix, name, ok := strings.Cut(key, "/")
	if !ok {
		prefix, name = "", key
	}
	if ok && !isObjectName(prefix) || name == "" || len(name) > 63 {
		return false
	}
	const inner = lowerAndDigits + "-_."
	lower := strings.ToLower(name)
	return strings.Trim(lower, inner) == "" && strings.Contains(lowerAndDigits, lower[:1]) && strings.Contains(lowerAndDigits, lower[len(lower)-1:])
}
