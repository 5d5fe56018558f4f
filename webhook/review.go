// Package webhook answers the API server's admission reviews: it decodes the
// little that it needs, lets the engine decide, responds and counts. It is the
// one place that fails open: whatever goes wrong, the object is admitted, as it
// came, and the failure is counted. Nothing is refused but a mistake in what a
// StatefulSet asks of backup.
package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// review is what is read of an AdmissionReview, admission.k8s.io/v1.
type review struct {
	Request *request `json:"request"`
}

type request struct {
	UID       string         `json:"uid"`
	Kind      kind           `json:"kind"`
	Name      string         `json:"name"`
	Namespace string         `json:"namespace"`
	Operation string         `json:"operation"`
	DryRun    bool           `json:"dryRun"`
	Object    jsontext.Value `json:"object"`
	OldObject jsontext.Value `json:"oldObject"`
}

type kind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

// response is what is answered. Without a refusal it is allowed: this webhook
// has no say in whether a pod may run.
type response struct {
	patch    []byte // RFC 6902
	warnings []string
	refusal  string // what is wrong with the object, in one line
}

// maximumReview is the largest body that is read: the API server's own limit on
// a request is 3 MiB, and a review may carry an object and an old object.
const maximumReview = 8 << 20

func decodeReview(body []byte) (*request, error) {
	var r review
	err := json.Unmarshal(body, &r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("read admission review: %w", err)
	}
	if r.Request == nil || r.Request.UID == "" {
		return nil, errors.New("read admission review: it has no request")
	}
	return r.Request, nil
}

// appendResponse writes the AdmissionReview of an answer. By hand, because that
// is about as much work as one call of an encoder, for the whole of it.
func appendResponse(dst []byte, uid string, r response) []byte {
	dst = append(dst, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":`...)
	dst, _ = jsontext.AppendQuote(dst, uid)
	if r.refusal == "" {
		dst = append(dst, `,"allowed":true`...)
	} else {
		dst = append(dst, `,"allowed":false,"status":{"status":"Failure","reason":"Invalid","code":422,"message":`...)
		dst, _ = jsontext.AppendQuote(dst, r.refusal)
		dst = append(dst, '}')
	}
	if r.patch != nil {
		dst = append(dst, `,"patchType":"JSONPatch","patch":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, r.patch)
		dst = append(dst, '"')
	}
	for i, warning := range r.warnings {
		if i == 0 {
			dst = append(dst, `,"warnings":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst, _ = jsontext.AppendQuote(dst, shorten(warning))
	}
	if len(r.warnings) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, "}}\n"...)
}

// shorten keeps a warning within the 256 bytes from which on the API server may
// cut it (k8s.io/apiserver, warning.AddWarning).
func shorten(warning string) string {
	const limit = 256
	if len(warning) <= limit {
		return warning
	}
	cut := limit - len("…")
	for cut > 0 && warning[cut]&0xc0 == 0x80 { // inside a rune
		cut--
	}
	return warning[:cut] + "…"
}

func writeReview(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the API server has gone: nothing is left to tell it
}
