package spanmetrics

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// sourceLabel is on every metric that is made of spans: so queries can tell it from the one
// of the same name that the application may expose itself.
const sourceLabel = `source="spans"`

// WriteMetrics writes the metrics in Prometheus' text format, or in that of OpenMetrics,
// which has exemplars. The pipeline never waits for the reader: one series at a time is
// formatted, and none is locked while it is written.
func (m *Metrics) WriteMetrics(w io.Writer, openMetrics bool) {
	out := bufio.NewWriterSize(w, 32<<10)
	defer func() { _ = out.Flush() }() // a reader that has gone gets nothing
	m.writeCounters(out, openMetrics)
	var text []byte
	for i := range families {
		m.mu.Lock()
		all := m.series[i]
		m.mu.Unlock()
		if len(all) == 0 {
			continue
		}
		header(out, families[i].name, "histogram", families[i].help, openMetrics)
		for _, s := range all {
			m.mu.Lock()
			text = s.append(text[:0], openMetrics)
			m.mu.Unlock()
			_, _ = out.Write(text)
		}
	}
}

func (m *Metrics) writeCounters(out io.Writer, openMetrics bool) {
	m.mu.Lock()
	indicated, spans, unknown, series := m.indicators, m.spans, m.unknown, len(m.byKey)
	m.mu.Unlock()
	for i, of := range indicators {
		header(out, of.name, "counter", of.help, openMetrics)
		fmt.Fprintf(out, "%s{%s} %s\n", of.name, sourceLabel, appendNumber(nil, indicated[i]))
	}
	const prefix = "novawire_sidecar_span_metrics_"
	header(out, prefix+"spans_total", "counter", "Spans, by what became of them in the metrics of requests.", openMetrics)
	for i, result := range results {
		fmt.Fprintf(out, "%sspans_total{result=%q} %d\n", prefix, result, spans[i])
	}
	header(out, prefix+"unknown_probability_total", "counter", "Spans of requests without a sampling probability in tracestate that is believed, each counted as one request.", openMetrics)
	fmt.Fprintf(out, "%sunknown_probability_total %d\n", prefix, unknown)
	header(out, prefix+"series", "gauge", "Histograms with labels of their own.", openMetrics)
	fmt.Fprintf(out, "%sseries %d\n", prefix, series)
	header(out, prefix+"series_limit", "gauge", "How many there may be.", openMetrics)
	fmt.Fprintf(out, "%sseries_limit %d\n", prefix, m.config.SeriesLimit)
}

// header writes what stands above the samples of a metric. OpenMetrics names a counter
// without its suffix.
func header(out io.Writer, name, kind, help string, openMetrics bool) {
	if openMetrics && kind == "counter" {
		name = strings.TrimSuffix(name, "_total")
	}
	fmt.Fprintf(out, "# HELP %[1]s %[3]s\n# TYPE %[1]s %[2]s\n", name, kind, help)
}
