package exporter

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/nova/novawire/sidecar/sigv4"
)

// httpSender sends by HTTP/1.1, which is what AWS takes.
type httpSender struct {
	client    *http.Client
	closeIdle func()
	url       string
	headers   http.Header
	gzip      bool
}

// maxRedirects is how often a request may be sent on.
const maxRedirects = 3

func newHTTP(config *Config, target Target, credentials aws.CredentialsProvider) sender {
	transport := &reloadingTransport{files: config.TLS, transport: newTransport}
	var through http.RoundTripper = transport
	if target.Sign != nil {
		through = sigv4.NewTransport(credentials, target.Sign.Region, target.Sign.Service, transport)
	}
	s := &httpSender{
		client:    &http.Client{Transport: through, CheckRedirect: sameOrigin},
		closeIdle: transport.close, url: string(target.URL), headers: http.Header{}, gzip: config.Compression == gzipName,
	}
	s.headers.Set("Content-Type", "application/x-protobuf")
	s.headers.Set("User-Agent", userAgent())
	for name, value := range headers(config, target) {
		s.headers.Set(name, value)
	}
	return s
}

func newTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 5 * time.Second,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     time.Minute,
		ReadBufferSize:      4 << 10,
		WriteBufferSize:     16 << 10,
	}
}

// sameOrigin follows redirects that repeat the request (307 and 308) within the
// backend: telemetry and its headers go nowhere else.
func sameOrigin(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	if r.Method != http.MethodPost || r.URL.Scheme != first.Scheme || r.URL.Host != first.Host || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

func (s *httpSender) close() { s.closeIdle() }

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

func (s *httpSender) send(ctx context.Context, r request) result {
	body, err := s.body(r)
	if err != nil {
		return result{outcome: permanent, kind: "body", err: err}
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return result{outcome: permanent, kind: "request", err: err}
	}
	q.Header = s.headers.Clone()
	if s.gzip {
		q.Header.Set("Content-Encoding", gzipName)
	}
	response, err := s.client.Do(q)
	if err != nil {
		return result{outcome: retryable, kind: "connection", err: cause(err)}
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil && response.StatusCode/100 == 2 {
		return result{outcome: retryable, kind: "answer", err: fmt.Errorf("read response: %w", err)}
	}
	return classifyHTTP(response, answer)
}

// cause leaves out the URL that net/http puts before an error: its path may hold a
// token.
func cause(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// classifyHTTP sorts answers as OTLP does (OTLP specification, "OTLP/HTTP Response").
func classifyHTTP(response *http.Response, answer []byte) result {
	if response.StatusCode/100 == 2 {
		return acknowledged(answer)
	}
	r := result{outcome: permanent, kind: strconv.Itoa(response.StatusCode), err: fmt.Errorf("backend answered %s%s", response.Status, explanation(response, answer))}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		r.outcome, r.after = retryable, retryAfter(response.Header.Get("Retry-After"))
	case http.StatusRequestEntityTooLarge:
		r.outcome = tooLarge
	}
	return r
}

// explanation is what the backend says: a Status message, or a text.
func explanation(response *http.Response, answer []byte) string {
	if location, err := response.Location(); err == nil {
		return ": redirects to " + location.Scheme + "://" + location.Host + location.Path + " are not followed"
	}
	text := string(answer)
	kind := response.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(kind, "application/x-protobuf"):
		var status spb.Status
		if proto.Unmarshal(answer, &status) == nil {
			text = status.GetMessage()
		}
	case strings.HasPrefix(kind, "application/json"):
		var status struct{ Message string }
		if json.Unmarshal(answer, &status) == nil && status.Message != "" {
			text = status.Message
		}
	}
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return ": " + clip(text)
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}

func (s *httpSender) body(r request) ([]byte, error) {
	if !s.gzip {
		return bytes.Join(r.bodies, nil), nil
	}
	var out bytes.Buffer
	zip := newGzip(&out)
	for _, body := range r.bodies {
		if _, err := zip.Write(body); err != nil {
			return nil, fmt.Errorf("compress request: %w", err)
		}
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("compress request: %w", err)
	}
	return out.Bytes(), nil
}
