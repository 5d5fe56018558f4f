package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The two formats, as Prometheus names them.
const (
	textFormat        = "text/plain; version=0.0.4; charset=utf-8"
	openMetricsType   = "application/openmetrics-text"
	openMetricsFormat = openMetricsType + "; version=1.0.0; charset=utf-8"
)

// serveMetrics answers in OpenMetrics if the scraper can read it: only that format has
// exemplars.
func (s *server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	openMetrics := strings.Contains(strings.Join(r.Header.Values("Accept"), ","), openMetricsType)
	var own bytes.Buffer
	s.writeOwn(&own)
	if !openMetrics {
		w.Header().Set("Content-Type", textFormat)
		_, _ = w.Write(own.Bytes())
	} else {
		w.Header().Set("Content-Type", openMetricsFormat)
		_, _ = w.Write(toOpenMetrics(own.Bytes()))
	}
	if s.more != nil {
		s.more.WriteMetrics(w, openMetrics)
	}
	if openMetrics {
		_, _ = io.WriteString(w, "# EOF\n")
	}
}

func (s *server) writeOwn(w io.Writer) {
	s.stats.WriteMetrics(w)
	fmt.Fprintf(w, "# HELP novawire_sidecar_mistakes Variables that are ignored or missing.\n# TYPE novawire_sidecar_mistakes gauge\nnovawire_sidecar_mistakes %d\n", s.config.Problems)
	fmt.Fprintf(w, "# HELP novawire_sidecar_info The build and its backend.\n# TYPE novawire_sidecar_info gauge\nnovawire_sidecar_info{version=%q,backend=%q} 1\n", s.set.BuildInfo.Version, s.config.Backend)
}

// toOpenMetrics returns the text with the names of counters in their comments as OpenMetrics
// wants them: without the suffix of their samples.
func toOpenMetrics(text []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("# ")) {
			line = bytes.Replace(line, []byte("_total "), []byte(" "), 1)
		}
		out.Write(line)
	}
	return out.Bytes()
}
