//go:build cgo

// Package logsbaseline is the common way to write an output for CloudWatch Logs
// in Go: GetRecord of github.com/fluent/fluent-bit-go decodes a record into maps,
// json.Marshal makes it a message, and AWS's client sends it. Only benchmarks use
// it. It does not extract, sort or count anything, which is less work, so the
// comparison favours it.
package logsbaseline

import (
	"encoding/json"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/fluent/fluent-bit-go/output"
)

// The limits of a request.
const (
	maxBytes    = 1_048_576
	maxEvents   = 10_000
	eventExtras = 26
)

// Batches returns the events of a chunk, divided into requests.
func Batches(data unsafe.Pointer, length int) (batches [][]types.InputLogEvent) {
	var batch []types.InputLogEvent
	size := 0
	decoder := output.NewDecoder(data, length)
	for {
		code, at, record := output.GetRecord(decoder)
		if code != 0 {
			break
		}
		message, err := json.Marshal(plain(record))
		if err != nil {
			continue
		}
		if size += len(message) + eventExtras; size > maxBytes || len(batch) == maxEvents {
			batches, batch, size = append(batches, batch), nil, len(message)+eventExtras
		}
		text, ms := string(message), when(at).UnixMilli()
		batch = append(batch, types.InputLogEvent{Message: &text, Timestamp: &ms})
	}
	return append(batches, batch)
}

func when(at any) time.Time {
	switch t := at.(type) {
	case output.FLBTime:
		return t.Time
	case uint64:
		return time.Unix(int64(t), 0)
	}
	return time.Now()
}

// plain converts the keys and bytes that GetRecord returns to strings.
func plain(record map[any]any) map[string]any {
	all := make(map[string]any, len(record))
	for key, value := range record {
		name, ok := key.(string)
		if !ok {
			continue
		}
		all[name] = text(value)
	}
	return all
}

func text(value any) any {
	switch v := value.(type) {
	case []byte:
		return string(v)
	case map[any]any:
		return plain(v)
	case []any:
		for i := range v {
			v[i] = text(v[i])
		}
	}
	return value
}
