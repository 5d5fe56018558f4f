package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/nova/novawire/sidecar/ledger"
)

// errMalformed is the error of a request that is not OTLP.
var errMalformed = errors.New("the request cannot be decoded")

// encoding is one of OTLP's two.
type encoding int

const (
	protobuf encoding = iota
	jsonText
)

// pipeline hands on the request in the context.
type pipeline func(ctx context.Context) error

// message is an export request of pdata.
type message interface {
	UnmarshalJSON(data []byte) error
	MarshalProto() ([]byte, error)
}

// decode turns a panic into an error of the sender: nothing that an application
// sends may end the sidecar.
func decode(unmarshal func([]byte) error, body []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errMalformed, p)
		}
	}()
	if err := unmarshal(body); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return nil
}

// fromJSON returns the request as protobuf. Its memory is bounded before it is
// decoded, as that of protobuf is.
func (s *server) fromJSON(signal ledger.Signal, body []byte) ([]byte, error) {
	if err := checkJSON(body, s.config.JSONMemory); err != nil {
		return nil, err
	}
	var m message
	switch signal {
	case ledger.Traces:
		m = ptraceotlp.NewExportRequest()
	case ledger.Metrics:
		m = pmetricotlp.NewExportRequest()
	case ledger.Logs:
		m = plogotlp.NewExportRequest()
	}
	if decode(m.UnmarshalJSON, body) != nil {
		return nil, jsonError(body)
	}
	return m.MarshalProto()
}

// jsonError says what is wrong with a request in JSON. It quotes nothing of it, as the
// decoder's own error does: senders log the answer, and what it holds is not redacted yet.
func jsonError(body []byte) error {
	var syntax *json.SyntaxError
	if errors.As(json.Unmarshal(body, new(struct{})), &syntax) {
		return fmt.Errorf("%w: it is no JSON from byte %d on", errMalformed, syntax.Offset)
	}
	return fmt.Errorf("%w: a field of its JSON does not have the form that OTLP gives it", errMalformed)
}

func traces(next consumer.Traces) pipeline {
	return func(ctx context.Context) error { return next.ConsumeTraces(ctx, ptrace.NewTraces()) }
}

func metrics(next consumer.Metrics) pipeline {
	return func(ctx context.Context) error { return next.ConsumeMetrics(ctx, pmetric.NewMetrics()) }
}

func logs(next consumer.Logs) pipeline {
	return func(ctx context.Context) error { return next.ConsumeLogs(ctx, plog.NewLogs()) }
}
