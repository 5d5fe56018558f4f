package backup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nova/novawire/api"
	"github.com/nova/novawire/internal/validate"
)

// Policy limits what tenants may set. The zero value allows everything.
type Policy struct {
	// Namespace are the annotations that a Namespace may set; nil for all.
	Namespace []string `json:"namespace,omitzero"`
	// Object are the annotations that a StatefulSet, Secret or Service may set; nil for
	// all. Those that request backup and a run, and the reason for none, are always allowed.
	Object []string `json:"object,omitzero"`
}

// alwaysAllowed say whether a database is backed up, not how.
var alwaysAllowed = []string{AnnotationEnabled, AnnotationRun, AnnotationUnprotectedReason, AnnotationStatus}

// Validate returns an error for the first entry that is not the name of an annotation
// of these objects.
func (p Policy) Validate() error {
	for _, list := range []struct {
		path    string
		on      api.Object
		allowed []string
	}{{"namespace", api.OnNamespace, p.Namespace}, {"object", api.OnStatefulSet, p.Object}} {
		for _, key := range list.allowed {
			if k, ok := api.Find(keys, key, list.on); ok && !k.Label && !k.Written {
				continue
			}
			hint := ""
			if nearest := api.Nearest(keys, key); nearest != "" && nearest != key {
				hint = "; did you mean " + nearest + "?"
			}
			return fmt.Errorf("%s: %q is not an annotation that it may set%s", list.path, key, hint)
		}
	}
	return nil
}

// forbids returns the refusal of an annotation, and whether the policy forbids it. who
// is the object that has it.
func forbids(allowed []string, who, key, value string) (validate.Refusal, bool) {
	if allowed == nil || slices.Contains(allowed, key) || slices.Contains(alwaysAllowed, key) {
		return validate.Refusal{}, false
	}
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = strings.TrimPrefix(name, AnnotationPrefix)
	}
	problem := "the platform does not let " + who + " set it; it may set " + strings.Join(names, ", ")
	if len(names) == 0 {
		problem = "the platform does not let " + who + " set it"
	}
	return validate.Refusal{Setting: key, Value: validate.Redact(value), Problem: problem, Forbidden: true}, true
}
