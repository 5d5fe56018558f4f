package sidecar

import (
	"github.com/nova/novawire/api/attribute"
	"github.com/nova/novawire/api/redaction"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/redact"
)

// redactedAttributes returns the attributes that the sidecar adds to resources without what
// the rules redact: otherwise it would add again what was dropped. They are the platform's
// own, so a rule that cannot be read does not mask them: telemetry keeps its origin.
func redactedAttributes(s sidecarapi.Settings) []attribute.KeyValue {
	r := redact.New(redaction.Rules{List: s.Redact.List}, s.RedactKey).Redactor()
	if r == nil {
		return s.Resource
	}
	list := make([]attribute.KeyValue, 0, len(s.Resource))
	for _, a := range s.Resource {
		k := r.Key([]byte(a.Key))
		whole, drop := k.Whole()
		if whole && !drop {
			a.Value = string(r.AppendWhole(nil, k, []byte(a.Value)))
		} else if !drop {
			to, verdict := r.Value(nil, k, []byte(a.Value))
			if drop = verdict == redact.Drop; verdict == redact.Changed {
				a.Value = string(to)
			}
		}
		if key, verdict := r.KeyName(nil, []byte(a.Key)); verdict == redact.Changed {
			a.Key = string(key)
		}
		if !drop {
			list = append(list, a)
		}
	}
	return list
}
