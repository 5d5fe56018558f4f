package s3

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// A part is in memory, so an attempt costs little, and giving up costs the whole run.
const (
	maxAttempts       = 8
	defaultMaxBackoff = 20 * time.Second
)

// newRetryer returns the SDK's retryer without its token bucket, which gives up after a
// few failed parts.
func newRetryer(set Settings) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		if set.MaxAttempts > 0 {
			o.MaxAttempts = set.MaxAttempts
		}
		o.MaxBackoff = defaultMaxBackoff
		if set.MaxBackoff > 0 {
			o.MaxBackoff = set.MaxBackoff
		}
		o.RateLimiter = ratelimit.None
		o.Retryables = append(o.Retryables, retry.RetryableErrorCode{Codes: map[string]struct{}{
			"ConditionalRequestConflict": {}, "OperationAborted": {}, "InternalError": {}, "BadDigest": {},
		}})
	})
}

// stallTimeout is how long a connection may transfer nothing before it counts as broken.
const stallTimeout = time.Minute

// newHTTPClient returns a client that limits how long a connection transfers nothing. It
// does not limit how long a transfer takes.
func newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &stallConn{conn}, nil
		},
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second,
		WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
	}}
}

// stallConn is a connection whose reads and writes each have a time limit.
type stallConn struct{ net.Conn }

func (c *stallConn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(stallTimeout))
	return c.Conn.Read(p)
}

func (c *stallConn) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(stallTimeout))
	return c.Conn.Write(p)
}
