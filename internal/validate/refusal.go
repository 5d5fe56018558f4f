package validate

import (
	"fmt"
	"strings"
)

// Hidden stands for a value that may hold a secret and is never repeated.
const Hidden = "(hidden)"

// Refusal reports a setting that is not accepted: an annotation, a variable, a flag
// or a key of a configuration file. Every program reports settings with it, so that
// one line says what is wrong, where it stands and what is allowed.
//
// Where Allowed is set, the value is at fault:
//
//	pod annotation inject.nova.dev/protocol: "grcp" is ignored: use grpc or http/protobuf
//
// Otherwise Problem is the whole complaint:
//
//	NOVAWIRE_CERT_FILE: needs NOVAWIRE_KEY_FILE as well; neither is used
type Refusal struct {
	Source  string // where the setting stands, such as "pod"; empty where the setting says it
	Setting string // the annotation's key, or the variable's name
	Value   string // as it was written, or [Hidden]
	Allowed string // what to use, in a few words; backquotes of the documentation are dropped
	Problem string // what is wrong, where it is not the value alone
	Ignored bool   // the program goes on without the value; otherwise it refuses to go on
	// Forbidden says that the value may be right, but that the platform does not allow it.
	Forbidden bool
	Instead   string // what an ignored value is replaced by; empty for the next weaker setting
}

// Error returns the refusal as one line.
func (r Refusal) Error() string {
	if r.Source != "" {
		return r.Source + " annotation " + r.Setting + ": " + r.Reason()
	}
	return r.Setting + ": " + r.Reason()
}

// Reason returns the refusal without the name of the setting.
func (r Refusal) Reason() string {
	if r.Allowed == "" {
		return r.Problem
	}
	value := fmt.Sprintf("%q", r.Value)
	if r.Value == Hidden {
		value = "the value (hidden)"
	}
	verdict := "refused"
	if r.Ignored {
		verdict = "ignored"
	}
	reason := fmt.Sprintf("%s is %s: use %s", value, verdict, plain(r.Allowed))
	if r.Problem != "" {
		reason += " (" + r.Problem + ")"
	}
	if r.Instead != "" {
		reason += "; " + plain(r.Instead) + " is used"
	}
	return reason
}

// plain drops the documentation's backquotes.
func plain(text string) string { return strings.ReplaceAll(text, "`", "") }

// Redact returns the value as a message may show it: [Hidden] where it looks like
// a URL with a user or a password, and at most 60 bytes of anything else.
func Redact(value string) string {
	if _, rest, ok := strings.Cut(value, "://"); ok && strings.Contains(rest, "@") {
		return Hidden
	}
	return Truncate(value, 60)
}
