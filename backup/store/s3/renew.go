package s3

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithy "github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/nova/novawire/internal/aws/credentials"
)

// expired lists the codes of errors after which a request succeeds with new credentials.
var expired = map[string]bool{"ExpiredToken": true, "ExpiredTokenException": true, "TokenRefreshRequired": true, "RequestExpired": true}

// renewal repeats a request with new credentials if the old ones have expired. The SDK's
// own retries keep the credentials of the first attempt.
type renewal struct {
	credentials credentials.Provider
	backoff     aws.Retryer
}

func (*renewal) ID() string { return "RenewCredentials" }

func (r *renewal) add(stack *middleware.Stack) error {
	return stack.Finalize.Insert(r, "GetIdentity", middleware.Before)
}

// HandleFinalize implements [middleware.FinalizeMiddleware].
func (r *renewal) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, m middleware.Metadata, err error) {
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return next.HandleFinalize(ctx, in)
	}
	for attempt := 1; ; attempt++ {
		in.Request = request.Clone()
		out, m, err = next.HandleFinalize(ctx, in)
		var api smithy.APIError
		if !errors.As(err, &api) || !expired[api.ErrorCode()] || attempt == r.backoff.MaxAttempts() {
			return out, m, err
		}
		r.credentials.Invalidate()
		if waitErr := wait(ctx, r.backoff, attempt, err); waitErr != nil {
			return out, m, err
		}
		if rewindErr := request.RewindStream(); rewindErr != nil {
			return out, m, err
		}
	}
}

func wait(ctx context.Context, backoff aws.Retryer, attempt int, cause error) error {
	delay, err := backoff.RetryDelay(attempt, cause)
	if err != nil {
		return err
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
