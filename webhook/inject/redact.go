package inject

import (
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/api/redaction"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// checkRedaction notes where rules do not do what they say: telemetry does not pass a
// sidecar, or there is no key for hashes. The key comes from the configuration, because a
// pod's annotations cannot hold a secret.
func (w *wiring) checkRedaction() {
	if w.request.Redact == "" {
		return
	}
	if w.collector != injection.CollectorSidecar {
		w.note(Note{Reason: NoRedaction, Subject: injection.AnnotationRedact})
		return
	}
	if rules, _ := redaction.Parse(w.request.Redact); rules.Hashes() && !w.engine.config.Sidecar.HasRedactKey() {
		w.note(Note{Reason: BadRedaction, Subject: injection.AnnotationRedact, Detail: "rules that hash mask instead, because the platform has set no " + sidecarapi.EnvRedactKey})
	}
}
