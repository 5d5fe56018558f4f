// Package cloudwatchlogs is a client of Amazon CloudWatch Logs for the four
// operations that delivery needs. It speaks the AWS JSON 1.1 protocol of API
// version 2014-03-28. It takes log events in the form of a request; AWS's own
// client would decode and encode them again (docs/adr/0801).
package cloudwatchlogs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/nova/novawire/fluentbit/delivery"
)

// Client calls the service in one region.
type Client struct {
	// Endpoint is the URL of the service, such as https://logs.eu-west-1.amazonaws.com.
	Endpoint    string
	Region      string
	Credentials aws.CredentialsProvider
	HTTP        *http.Client
	// Timeout bounds one call.
	Timeout time.Duration
	Now     func() time.Time
}

var _ delivery.Service = (*Client)(nil)

// Put calls PutLogEvents.
func (c *Client) Put(ctx context.Context, group, stream string, entries [][]byte) (delivery.Rejected, error) {
	body := putBody(group, stream, entries)
	answer, err := c.call(ctx, "PutLogEvents", body)
	if err != nil {
		return delivery.Rejected{}, err
	}
	var result struct {
		Rejected struct {
			TooNewStart *int `json:"tooNewLogEventStartIndex"`
			TooOldEnd   int  `json:"tooOldLogEventEndIndex"`
			ExpiredEnd  int  `json:"expiredLogEventEndIndex"`
		} `json:"rejectedLogEventsInfo"`
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return delivery.Rejected{}, fmt.Errorf("read answer: %w: %w", delivery.ErrResponseLost, err)
	}
	r := delivery.Rejected{TooOld: result.Rejected.TooOldEnd, Expired: result.Rejected.ExpiredEnd}
	if start := result.Rejected.TooNewStart; start != nil {
		r.TooNew = len(entries) - *start
	}
	return r, nil
}

func putBody(group, stream string, entries [][]byte) []byte {
	size := len(group) + len(stream) + 128
	for _, e := range entries {
		size += len(e) + 1
	}
	b := make([]byte, 0, size)
	b = append(append(b, `{"logGroupName":`...), quote(group)...)
	b = append(append(b, `,"logStreamName":`...), quote(stream)...)
	b = append(b, `,"logEvents":[`...)
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	return append(b, "]}"...)
}

func quote(s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("cloudwatchlogs: a string is always JSON: " + err.Error())
	}
	return quoted
}

// CreateGroup calls CreateLogGroup.
func (c *Client) CreateGroup(ctx context.Context, group string) error {
	return c.do(ctx, "CreateLogGroup", map[string]any{"logGroupName": group})
}

// CreateStream calls CreateLogStream.
func (c *Client) CreateStream(ctx context.Context, group, stream string) error {
	return c.do(ctx, "CreateLogStream", map[string]any{"logGroupName": group, "logStreamName": stream})
}

// SetRetention calls PutRetentionPolicy.
func (c *Client) SetRetention(ctx context.Context, group string, days int) error {
	return c.do(ctx, "PutRetentionPolicy", map[string]any{"logGroupName": group, "retentionInDays": days})
}

func (c *Client) do(ctx context.Context, operation string, in map[string]any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", operation, err)
	}
	_, err = c.call(ctx, operation, body)
	return err
}

// maxResponseBytes is how much of a response is read. The service's responses are
// short.
const maxResponseBytes = 64 << 10

// call sends one request and returns the body of a successful response.
func (c *Client) call(ctx context.Context, operation string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var connected atomic.Bool // from here on the service may have seen the request
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	request, err := c.request(ctx, operation, body)
	if err != nil {
		return nil, err
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return nil, transportError(operation, err, connected.Load())
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxResponseBytes))
	if err != nil {
		return nil, transportError(operation, err, true)
	}
	if response.StatusCode == http.StatusOK {
		return answer, nil
	}
	return nil, c.serviceError(operation, response, answer)
}

func (c *Client) request(ctx context.Context, operation string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "Logs_20140328."+operation)
	keys, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: find credentials: %w", operation, err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, keys, request, hex.EncodeToString(sum[:]), "logs", c.Region, c.Now()); err != nil {
		return nil, fmt.Errorf("%s: sign: %w", operation, err)
	}
	return request, nil
}

func transportError(operation string, err error, connected bool) error {
	if urlError := (*url.Error)(nil); errors.As(err, &urlError) {
		err = urlError.Err // without the URL, which is the same in every line
	}
	if connected {
		return fmt.Errorf("%s: %w: %w", operation, delivery.ErrResponseLost, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}
