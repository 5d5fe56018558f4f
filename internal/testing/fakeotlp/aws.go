package fakeotlp

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// AWS makes a receiver behave like the OTLP endpoints of X-Ray and CloudWatch: every
// request must be signed (Signature Version 4), and be within the limits that the
// CloudWatch documentation gives ("OTLP endpoints").
type AWS struct {
	Region, AccessKey, SecretKey string
}

var services = map[string]string{"traces": "xray", "metrics": "monitoring", "logs": "logs"}

// limits records a problem for what the service would not accept.
func (a *AWS) limits(r *Receiver, h http.Header, q request, body []byte) {
	if len(body) > 5_000_000 {
		r.problem("request of %d bytes, limit 5 MB", len(body))
	}
	if len(q.ids) > 10_000 {
		r.problem("request of %d items, limit 10,000", len(q.ids))
	}
	if q.signal == "logs" && (h.Get("x-aws-log-group") == "" || h.Get("x-aws-log-stream") == "") {
		r.problem("logs without group and stream")
	}
}

// verify compares the signature with that of the request, of the parts that the sender
// says it signed.
func (a *AWS) verify(q *http.Request, wire []byte) error {
	credential, signedHeaders, signature, err := authorization(q.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	date := q.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		return fmt.Errorf("date %q is not now", date)
	}
	service := services[q.PathValue("signal")]
	scope := []string{date[:8], a.Region, service, "aws4_request"}
	if want := a.AccessKey + "/" + strings.Join(scope, "/"); credential != want {
		return fmt.Errorf("credential is %q, want %q", credential, want)
	}
	if !slices.Contains(signedHeaders, "host") || !slices.Contains(signedHeaders, "x-amz-date") {
		return fmt.Errorf("headers %q do not bind host and date", signedHeaders)
	}
	key := []byte("AWS4" + a.SecretKey)
	for _, part := range scope {
		key = mac(key, part)
	}
	canonical := canonicalRequest(q, signedHeaders, wire)
	sum := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{"AWS4-HMAC-SHA256", date, strings.Join(scope, "/"), hex.EncodeToString(sum[:])}, "\n")
	if want := hex.EncodeToString(mac(key, text)); subtle.ConstantTimeCompare([]byte(want), []byte(signature)) != 1 {
		return errors.New("signature does not match")
	}
	return nil
}

func authorization(header string) (credential string, signedHeaders []string, signature string, err error) {
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return "", nil, "", errors.New("request is not signed")
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signedHeaders = strings.Split(value, ";")
		case "Signature":
			signature = value
		}
	}
	return credential, signedHeaders, signature, nil
}

func canonicalRequest(q *http.Request, signedHeaders []string, wire []byte) string {
	sum := sha256.Sum256(wire)
	lines := []string{q.Method, q.URL.EscapedPath(), q.URL.RawQuery}
	for _, name := range signedHeaders {
		value := strings.Join(q.Header.Values(name), ",")
		switch name {
		case "host":
			value = q.Host
		case "content-length":
			value = fmt.Sprint(len(wire))
		}
		lines = append(lines, name+":"+strings.Join(strings.Fields(value), " "))
	}
	return strings.Join(append(lines, "", strings.Join(signedHeaders, ";"), hex.EncodeToString(sum[:])), "\n")
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
