// Package webhook answers the admission reviews of the API server: it decodes a
// review, lets the engine decide, responds and counts. It is the only place that
// fails open: if anything goes wrong, the object is admitted unchanged and the
// failure is logged and counted. Only mistakes in the backup annotations of an
// object are refused.
package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nova/novawire/internal/validate"
)

// review has the fields of an AdmissionReview (admission.k8s.io/v1) that are read.
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

// response is the answer to a review. The object is admitted unless refusal is set.
type response struct {
	patch    []byte // RFC 6902
	warnings []string
	refusal  string // why the object is not admitted, in one line
}

// maxReviewSize is the largest body that is read, in bytes. The API server limits a
// request to 3 MiB, and a review can contain an object and an old object.
const maxReviewSize = 8 << 20

func decodeReview(body []byte) (*request, error) {
	var r review
	err := json.Unmarshal(body, &r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("decode admission review: %w", err)
	}
	if r.Request == nil || r.Request.UID == "" {
		return nil, errors.New("decode admission review: the review has no request")
	}
	return r.Request, nil
}

// appendResponse appends the AdmissionReview of a response. It writes the JSON
// directly, which is faster than an encoder and about as long.
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
		dst, _ = jsontext.AppendQuote(dst, validate.Truncate(warning, maxWarningSize))
	}
	if len(r.warnings) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, "}}\n"...)
}

// maxWarningSize is the size, in bytes, above which the API server can truncate a
// warning (k8s.io/apiserver, warning.AddWarning).
const maxWarningSize = 256

func writeReview(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the API server has closed the connection
}
