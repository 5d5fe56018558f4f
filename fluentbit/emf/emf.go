// Package emf adds up the counts that alarms watch and writes them as documents
// in CloudWatch's embedded metric format, from which CloudWatch makes metrics.
// There is one document for each service and minute.
package emf

import (
	"encoding/json"
	"sync"

	"github.com/nova/novawire/fluentbit/record"
)

// Service is the service that counts belong to, and the destination of its
// documents.
type Service struct {
	Namespace, Name string
	Destination     any
}

// Accumulator adds up the tallies of a minute.
type Accumulator struct {
	mu     sync.Mutex
	counts map[Service]*record.Tally
}

// Add adds a tally to a service.
func (w *Accumulator) Add(s Service, t record.Tally) {
	if t == (record.Tally{}) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		w.counts = map[Service]*record.Tally{}
	}
	sum := w.counts[s]
	if sum == nil {
		sum = &record.Tally{}
		w.counts[s] = sum
	}
	sum.Add(t)
}

// Take returns the sums and starts again at zero.
func (w *Accumulator) Take() map[Service]*record.Tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := w.counts
	w.counts = nil
	return counts
}

type metric struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

type directive struct {
	Namespace  string     `json:"Namespace"`
	Dimensions [][]string `json:"Dimensions"`
	Metrics    []metric   `json:"Metrics"`
}

type header struct {
	Timestamp int64       `json:"Timestamp"` // milliseconds
	Metrics   []directive `json:"CloudWatchMetrics"`
}

type document struct {
	Header           header `json:"_aws"`
	Namespace        string `json:"Namespace"`
	Service          string `json:"Service"`
	Node             string `json:"Node,omitempty"` // not a dimension: the metric is of the service
	HTTPServerErrors uint32 `json:"http_server_errors_total"`
	GRPCClientErrors uint32 `json:"grpc_client_errors_total"`
	RedisTimeouts    uint32 `json:"redis_timeout_total"`
	ErrorLines       uint32 `json:"error_lines_total"`
}

// Document returns the document for one service (Embedded metric format
// specification). It contains all four counts, so that an alarm sees 0 instead of
// no data.
func Document(metrics string, s Service, t record.Tally, minute int64, node string) []byte {
	d := directive{Namespace: metrics, Dimensions: [][]string{{"Namespace", "Service"}}}
	for _, name := range []string{record.HTTPServerErrors, record.GRPCClientErrors, record.RedisTimeouts, record.ErrorLines} {
		d.Metrics = append(d.Metrics, metric{name, "Count"})
	}
	text, err := json.Marshal(document{
		Header:    header{Timestamp: minute, Metrics: []directive{d}},
		Namespace: s.Namespace, Service: s.Name, Node: node,
		HTTPServerErrors: t.HTTPServerErrors, GRPCClientErrors: t.GRPCClientErrors,
		RedisTimeouts: t.RedisTimeouts, ErrorLines: t.ErrorLines,
	})
	if err != nil {
		panic("emf: strings and numbers are always JSON: " + err.Error())
	}
	return text
}
