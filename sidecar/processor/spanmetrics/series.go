package spanmetrics

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/nova/novawire/sidecar/wire"
)

// series is a histogram of durations.
type series struct {
	family    int
	labels    []byte // as they are written
	buckets   []float64
	exemplars []exemplar // of each bucket the latest
	sum       float64
}

// exemplar is a span of a bucket.
type exemplar struct {
	traceID [16]byte
	spanID  [8]byte
	value   float64
	time    uint64 // ns; 0: there is none
}

func newSeries(family int, labels []byte) *series {
	buckets := len(families[family].bounds) + 1
	return &series{family: family, labels: labels, buckets: make([]float64, buckets), exemplars: make([]exemplar, buckets)}
}

// observe counts a span that stands for so many requests. now, in ns since 1970, bounds the
// time of its exemplar: one in the future would never be replaced, neither here nor in
// Prometheus.
func (h *series) observe(s *wire.Span, count float64, now uint64) {
	seconds := duration(s)
	bucket, _ := slices.BinarySearch(families[h.family].bounds, seconds)
	h.buckets[bucket] += count
	h.sum += seconds * count
	if e, at := &h.exemplars[bucket], min(s.End, now); at >= e.time && len(s.TraceID) == len(e.traceID) && len(s.SpanID) == len(e.spanID) {
		copy(e.traceID[:], s.TraceID)
		copy(e.spanID[:], s.SpanID)
		e.value, e.time = seconds, at
	}
}

// maxDuration is the longest duration, a day in ns: a span with a nonsensical time would
// otherwise add centuries to the sum.
const maxDuration = 24 * 60 * 60 * 1e9

// duration returns the seconds that a span took: none if its clock went back or it has no
// start.
func duration(s *wire.Span) float64 {
	if s.Start == 0 || s.End < s.Start {
		return 0
	}
	return float64(min(s.End-s.Start, maxDuration)) / 1e9
}

// append appends the lines of the series.
func (h *series) append(to []byte, openMetrics bool) []byte {
	f := &families[h.family]
	total := 0.0
	for i, n := range h.buckets {
		total += n
		to = append(append(append(to, f.name...), "_bucket{"...), h.labels...)
		to = append(to, `,`+sourceLabel+`,le="`...)
		if i < len(f.bounds) {
			to = appendBound(to, f.bounds[i], openMetrics)
		} else {
			to = append(to, "+Inf"...)
		}
		to = appendNumber(append(to, `"} `...), total)
		if openMetrics {
			to = h.exemplars[i].append(to)
		}
		to = append(to, '\n')
	}
	for _, line := range [...]struct {
		suffix string
		value  float64
	}{{"_sum{", h.sum}, {"_count{", total}} {
		to = append(append(append(append(to, f.name...), line.suffix...), h.labels...), `,`+sourceLabel+`} `...)
		to = append(appendNumber(to, line.value), '\n')
	}
	return to
}

// appendBound writes a bound as OpenMetrics wants it, 1.0, or as Prometheus' older format
// has it, 1.
func appendBound(to []byte, bound float64, openMetrics bool) []byte {
	start := len(to)
	to = appendNumber(to, bound)
	if openMetrics && bytes.IndexByte(to[start:], '.') < 0 {
		to = append(to, ".0"...)
	}
	return to
}

func appendNumber(to []byte, n float64) []byte { return strconv.AppendFloat(to, n, 'f', -1, 64) }

func (e *exemplar) append(to []byte) []byte {
	if e.time == 0 || e.traceID == [16]byte{} {
		return to
	}
	to = hex.AppendEncode(append(to, ` # {trace_id="`...), e.traceID[:])
	to = hex.AppendEncode(append(to, `",span_id="`...), e.spanID[:])
	to = appendNumber(append(to, `"} `...), e.value)
	return strconv.AppendFloat(append(to, ' '), float64(e.time/1e6)/1e3, 'f', 3, 64)
}
