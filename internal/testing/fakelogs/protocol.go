package fakelogs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
)

// failure is an error response.
type failure struct{ name, message string }

func refuse(name, format string, args ...any) *failure {
	return &failure{name, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *failure {
	return refuse("InvalidParameterException", format, args...)
}

const target = "Logs_20140328."

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away while it sent
	}
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target)
	if f := s.checkRequest(r, body); f != nil {
		s.recordViolation(operation, f)
		answer(w, nil, f)
		return
	}
	s.count(operation)
	switch operation {
	case "PutLogEvents":
		s.putLogEvents(w, r, body)
	case "CreateLogGroup":
		answer(w, struct{}{}, s.createLogGroup(body))
	case "CreateLogStream":
		answer(w, struct{}{}, s.createLogStream(body))
	case "PutRetentionPolicy":
		answer(w, struct{}{}, s.putRetentionPolicy(body))
	default:
		answer(w, nil, refuse("UnknownOperationException", "no operation %q", operation))
	}
}

// checkRequest checks what all requests have in common.
func (s *Server) checkRequest(r *http.Request, body []byte) *failure {
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "":
		return refuse("UnknownOperationException", "%s %s", r.Method, r.URL)
	case !strings.HasPrefix(r.Header.Get("X-Amz-Target"), target):
		return refuse("UnknownOperationException", "target %q", r.Header.Get("X-Amz-Target"))
	case r.Header.Get("Content-Type") != "application/x-amz-json-1.1":
		return refuse("SerializationException", "content type %q", r.Header.Get("Content-Type"))
	}
	if err := s.verify(r, body); err != nil {
		return refuse("InvalidSignatureException", "%s", err)
	}
	return nil
}

// verify signs the request again with the headers that the client signed, and
// compares the signatures.
func (s *Server) verify(r *http.Request, body []byte) error {
	given := r.Header.Get("Authorization")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if given == "" || err != nil || s.options.Now().Sub(at).Abs() > 5*time.Minute {
		return fmt.Errorf("no signature of now: date %q", r.Header.Get("X-Amz-Date"))
	}
	again, err := http.NewRequestWithContext(context.Background(), r.Method, s.URL()+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	_, signed, _ := strings.Cut(given, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for _, name := range strings.Split(signed, ";") {
		if value := r.Header.Get(name); value != "" && name != "x-amz-date" {
			again.Header.Set(name, value)
		}
	}
	keys := aws.Credentials{AccessKeyID: s.options.AccessKey, SecretAccessKey: s.options.SecretKey}
	if !strings.Contains(";"+signed+";", ";x-amz-security-token;") {
		again.Header.Del("X-Amz-Security-Token")
	}
	again.ContentLength = r.ContentLength
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), keys, again, hex.EncodeToString(sum[:]), "logs", s.options.Region, at); err != nil {
		return err
	}
	if again.Header.Get("Authorization") != given {
		return fmt.Errorf("signature does not match (signed headers %s)", signed)
	}
	return nil
}

func (s *Server) count(operation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
}

func (s *Server) recordViolation(operation string, f *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, operation+": "+f.name+": "+f.message)
}

// decode reads a request strictly: valid UTF-8, no duplicate and no unknown
// members.
func decode(body []byte, into any) *failure {
	if err := json.Unmarshal(body, into, json.RejectUnknownMembers(true)); err != nil {
		return refuse("SerializationException", "%s", err)
	}
	return nil
}

func answer(w http.ResponseWriter, result any, f *failure) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-4000-8000-000000000000")
	if f != nil {
		status := http.StatusBadRequest
		switch f.name {
		case "ServiceUnavailableException":
			status = http.StatusServiceUnavailable
		case "InternalFailure":
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
		result = map[string]string{"__type": "com.amazonaws.logs#" + f.name, "message": f.message}
	}
	_ = json.MarshalWrite(w, result)
}

// resetConnection closes the connection with a TCP reset.
func resetConnection(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = c.Close()
}
