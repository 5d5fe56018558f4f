package otlp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nova/novawire/backup/report"
)

// Recorder keeps the spans of one trace; see [backup.Observer].
type Recorder struct {
	set   Settings
	now   func() time.Time
	trace string

	mu    sync.Mutex
	spans []span
}

// NewRecorder begins a trace.
func NewRecorder(set Settings, now func() time.Time) *Recorder {
	return &Recorder{set: set, now: now, trace: randomHex(16)}
}

type parentKey struct{}

// Step implements [backup.Observer].
func (r *Recorder) Step(ctx context.Context, name string, attributes ...string) (context.Context, func(error)) {
	s := span{Trace: r.trace, ID: randomHex(8), Name: name, Kind: spanInternal, Start: nanos(r.now())}
	s.Parent, _ = ctx.Value(parentKey{}).(string)
	for i := 0; i+1 < len(attributes); i += 2 {
		s.Attributes = append(s.Attributes, text(attributes[i], attributes[i+1]))
	}
	return context.WithValue(ctx, parentKey{}, s.ID), func(err error) {
		s.End = nanos(r.now())
		if err != nil {
			s.Status = &status{Code: statusError, Message: err.Error()}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.spans = append(r.spans, s)
	}
}

const (
	spanInternal = 1
	statusError  = 2
)

type span struct {
	Trace      string      `json:"traceId"`
	ID         string      `json:"spanId"`
	Parent     string      `json:"parentSpanId,omitempty"`
	Name       string      `json:"name"`
	Kind       int         `json:"kind"`
	Start      string      `json:"startTimeUnixNano"`
	End        string      `json:"endTimeUnixNano"`
	Attributes []attribute `json:"attributes,omitempty"`
	Status     *status     `json:"status,omitempty"`
}

type status struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type attribute struct {
	Key   string `json:"key"`
	Value struct {
		Text string `json:"stringValue"`
	} `json:"value"`
}

func text(key, value string) attribute {
	a := attribute{Key: key}
	a.Value.Text = value
	return a
}

type object map[string]any

func (r *Recorder) traces() any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return object{"resourceSpans": []any{object{
		"resource":   r.resource(),
		"scopeSpans": []any{object{"scope": object{"name": scope}, "spans": slices.Clone(r.spans)}},
	}}}
}

func (r *Recorder) metrics(measurements []report.Measurement, at time.Time) any {
	var metrics []any
	for _, m := range measurements {
		point := object{"timeUnixNano": nanos(at), "asDouble": m.Value}
		var attributes []attribute
		if m.Database != "" {
			attributes = append(attributes, text("db.namespace", m.Database))
		}
		if m.Category != "" {
			attributes = append(attributes, text("category", string(m.Category)))
		}
		if attributes != nil {
			point["attributes"] = attributes
		}
		metrics = append(metrics, object{"name": metricNames[m.Name], "unit": units[m.Unit], "gauge": object{"dataPoints": []any{point}}})
	}
	return object{"resourceMetrics": []any{object{
		"resource":     r.resource(),
		"scopeMetrics": []any{object{"scope": object{"name": scope}, "metrics": metrics}},
	}}}
}

const scope = "github.com/nova/novawire/backup"

// metricNames are the measurements as OpenTelemetry names metrics.
var metricNames = map[string]string{
	report.MeasureSuccess: "pg_backup.success", report.MeasureFailure: "pg_backup.failure",
	report.MeasureDuration: "pg_backup.duration", report.MeasureBytes: "pg_backup.dumped",
	report.MeasureStored: "pg_backup.stored", report.MeasureAge: "pg_backup.age",
	report.MeasureVerifiedAge: "pg_backup.verified_restore.age", report.MeasureAnomalies: "pg_backup.anomalies",
	report.MeasurePruned: "pg_backup.pruned", report.MeasureDrillSuccess: "pg_backup.drill.success",
	report.MeasureCopyFailure: "pg_backup.copy.failure", report.MeasureCopyAge: "pg_backup.copy.age",
	report.MeasureDrillDuration: "pg_backup.drill.duration",
	report.MeasureHeld:          "pg_backup.snapshot.held", report.MeasureHeldAge: "pg_backup.snapshot.transactions",
	report.MeasureNotGood: "pg_backup.not_good", report.MeasurePruneRefused: "pg_backup.prune_refused",
}

// units are those of UCUM.
var units = map[string]string{"Count": "1", "Seconds": "s", "Bytes": "By"}

func (r *Recorder) resource() object {
	var attributes []attribute
	for key, value := range r.set.Resource {
		attributes = append(attributes, text(key, value))
	}
	return object{"attributes": attributes}
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails, says its documentation
	return hex.EncodeToString(b)
}
