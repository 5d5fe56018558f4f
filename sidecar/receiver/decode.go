package receiver

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// errMalformed is a request that is no OTLP.
var errMalformed = errors.New("the request cannot be decoded")

// encoding is one of OTLP's two.
type encoding int

const (
	protobuf encoding = iota
	jsonText
)

// sink decodes the body of a request and hands it to the pipeline.
type sink func(ctx context.Context, body []byte, e encoding) error

type message interface {
	UnmarshalProto(data []byte) error
	UnmarshalJSON(data []byte) error
}

// decode turns a panic into a mistake of the sender: nothing that an
// application sends may end the sidecar.
func decode(m message, body []byte, e encoding) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errMalformed, p)
		}
	}()
	if e == jsonText {
		err = m.UnmarshalJSON(body)
	} else {
		err = m.UnmarshalProto(body)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return nil
}

func traces(next consumer.Traces) sink {
	return func(ctx context.Context, body []byte, e encoding) error {
		request := ptraceotlp.NewExportRequest()
		if err := decode(request, body, e); err != nil {
			return err
		}
		return next.ConsumeTraces(ctx, request.Traces())
	}
}

func metrics(next consumer.Metrics) sink {
	return func(ctx context.Context, body []byte, e encoding) error {
		request := pmetricotlp.NewExportRequest()
		if err := decode(request, body, e); err != nil {
			return err
		}
		return next.ConsumeMetrics(ctx, request.Metrics())
	}
}

func logs(next consumer.Logs) sink {
	return func(ctx context.Context, body []byte, e encoding) error {
		request := plogotlp.NewExportRequest()
		if err := decode(request, body, e); err != nil {
			return err
		}
		return next.ConsumeLogs(ctx, request.Logs())
	}
}
