package exporter

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/extension/extensionauth"

	"github.com/nova/novawire/sidecar/ledger"
)

// web sends by HTTP/1.1, which is what AWS takes.
type web struct {
	client  *http.Client
	idle    func()
	url     string
	signal  ledger.Signal
	headers http.Header
	gzip    bool
}

func newWeb(config *Config, target Target, signal ledger.Signal, auth extensionauth.HTTPClient) (sender, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		DialTLSContext:      config.TLS.dial,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     time.Minute,
		ReadBufferSize:      4 << 10,
		WriteBufferSize:     16 << 10,
	}
	var through http.RoundTripper = transport
	if auth != nil {
		signed, err := auth.RoundTripper(transport)
		if err != nil {
			return nil, fmt.Errorf("%s: authenticate requests: %w", signal, err)
		}
		through = signed
	}
	w := &web{
		client: &http.Client{
			Transport:     through,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		idle: transport.CloseIdleConnections, url: target.URL, signal: signal, headers: http.Header{}, gzip: config.Compression == "gzip",
	}
	w.headers.Set("Content-Type", "application/x-protobuf")
	w.headers.Set("User-Agent", "novawire-sidecar")
	for name, value := range headers(config, target) {
		w.headers.Set(name, value)
	}
	return w, nil
}

func (w *web) close() { w.idle() }

func (w *web) send(ctx context.Context, batch []item) outcome {
	body, err := w.body(batch)
	if err != nil {
		return outcome{verdict: permanent, err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return outcome{verdict: permanent, err: err}
	}
	request.Header = w.headers.Clone()
	if w.gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := w.client.Do(request)
	if err != nil {
		return outcome{verdict: retryable, err: err}
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil && response.StatusCode/100 == 2 {
		return outcome{verdict: retryable, err: fmt.Errorf("read response: %w", err)}
	}
	return w.judge(response, answer)
}

// judge sorts answers as OTLP does (OTLP specification, "OTLP/HTTP Response").
func (w *web) judge(response *http.Response, answer []byte) outcome {
	if response.StatusCode/100 == 2 {
		return acknowledged(w.signal, answer)
	}
	o := outcome{verdict: permanent, err: fmt.Errorf("backend answered %s", response.Status)}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		o.verdict, o.after = retryable, retryAfter(response.Header.Get("Retry-After"))
	}
	return o
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

// writers are few: one request a lane. A sync.Pool gives them back when idle.
var writers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is right
	return w
}}

func (w *web) body(batch []item) ([]byte, error) {
	var out bytes.Buffer
	if !w.gzip {
		for _, i := range batch {
			out.Write(i.body)
		}
		return out.Bytes(), nil
	}
	zip := writers.Get().(*gzip.Writer)
	defer writers.Put(zip)
	zip.Reset(&out)
	for _, i := range batch {
		if _, err := zip.Write(i.body); err != nil {
			return nil, err
		}
	}
	err := zip.Close()
	return out.Bytes(), err
}
