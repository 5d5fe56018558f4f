package exporter

import (
	"errors"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/nova/novawire/sidecar/ledger"
)

// acknowledged reads how much of a request the backend has taken. A response
// that cannot be read is still one that says the request was taken.
func acknowledged(signal ledger.Signal, response []byte) outcome {
	if len(response) == 0 {
		return outcome{}
	}
	var (
		rejected int64
		message  string
		err      error
	)
	switch signal {
	case ledger.Traces:
		r := ptraceotlp.NewExportResponse()
		err = r.UnmarshalProto(response)
		rejected, message = r.PartialSuccess().RejectedSpans(), r.PartialSuccess().ErrorMessage()
	case ledger.Metrics:
		r := pmetricotlp.NewExportResponse()
		err = r.UnmarshalProto(response)
		rejected, message = r.PartialSuccess().RejectedDataPoints(), r.PartialSuccess().ErrorMessage()
	case ledger.Logs:
		r := plogotlp.NewExportResponse()
		err = r.UnmarshalProto(response)
		rejected, message = r.PartialSuccess().RejectedLogRecords(), r.PartialSuccess().ErrorMessage()
	}
	if err != nil || rejected <= 0 {
		return outcome{}
	}
	return outcome{rejected: int(rejected), err: errors.New(message)}
}
