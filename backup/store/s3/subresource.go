package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// subresource is a GET of a part of the bucket's configuration. It is sent as an
// operation that the program needs anyway, with another query: each operation of the
// SDK that is linked for one question makes the program larger by 35 KB.
type subresource struct {
	name string // as in the query: versioning
	body []byte // of the answer
}

// maxAnswer bounds an answer, in bytes: a lifecycle has at most 1,000 rules.
const maxAnswer = 1 << 20

// ask reads a part of the bucket's configuration.
func (s *Store) ask(ctx context.Context, name string, into any) error {
	r := &subresource{name: name}
	_, err := s.client.ListObjectsV2(ctx, &sdk.ListObjectsV2Input{Bucket: &s.set.Bucket}, sdk.WithAPIOptions(r.add))
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(r.body, into); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

func (r *subresource) add(stack *middleware.Stack) error {
	query := middleware.BuildMiddlewareFunc("Subresource", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
		if request, ok := in.Request.(*smithyhttp.Request); ok {
			request.URL.RawQuery = r.name + "="
		}
		return next.HandleBuild(ctx, in)
	})
	keep := middleware.DeserializeMiddlewareFunc("KeepAnswer", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if response, ok := out.RawResponse.(*smithyhttp.Response); ok && err == nil && response.StatusCode == http.StatusOK {
			err = r.keep(response)
		}
		return out, metadata, err
	})
	return errors.Join(stack.Build.Add(query, middleware.After), stack.Deserialize.Add(keep, middleware.After))
}

// keep takes the answer and leaves an empty one for the operation that carried it.
func (r *subresource) keep(response *smithyhttp.Response) (err error) {
	defer func() { _ = response.Body.Close() }()
	r.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	response.Body = io.NopCloser(strings.NewReader("<ListBucketResult/>"))
	return err
}
