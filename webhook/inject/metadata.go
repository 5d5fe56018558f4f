package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/api/injection"
)

// pair is a label or annotation that the pod should have.
type pair struct {
	key, value string
	rule, from string // from is the annotation that changes the value
}

// wireMetadata sets labels and scrape annotations. Those of an up-to-date earlier
// wiring stay as they are.
func (w *wiring) wireMetadata() {
	if w.upToDate() {
		w.status.Kept = w.previous.Kept
		return
	}
	labels, annotations := w.scrape()
	if w.request.Logs {
		labels = append(labels, pair{injection.LabelLogging, injection.LoggingStructured, "logs", injection.AnnotationLogs})
	}
	w.setAll("labels", w.pod.Metadata.Labels, labels, injection.LabelLogging, injection.LabelMetrics)
	w.setAll("annotations", w.pod.Metadata.Annotations, annotations,
		injection.AnnotationPrometheusScrape, injection.AnnotationPrometheusPort, injection.AnnotationPrometheusPath, injection.AnnotationPrometheusScheme)
}

// setAll writes the wanted pairs of one map, labels or annotations. Values that the
// user set stay. Of the known keys, those that an earlier wiring set and that are
// not wanted now are removed.
func (w *wiring) setAll(name string, present map[string]string, wanted []pair, known ...string) {
	for _, key := range known {
		_, exists := present[key]
		if exists && w.isOurs(key) && !slices.ContainsFunc(wanted, func(p pair) bool { return p.key == key }) {
			w.patch.remove("metadata", name, key)
		}
	}
	if len(present) == 0 && len(wanted) > 0 {
		w.createMap(name)
	}
	for _, p := range wanted {
		value, exists := present[p.key]
		switch {
		case exists && !w.isOurs(p.key):
			w.status.Kept = append(w.status.Kept, p.key)
			if value != p.value {
				w.note(Note{Reason: UserLabel, Subject: p.key, Detail: value})
			}
		case !exists || value != p.value:
			w.patch.add("metadata", name, p.key)
			w.patch.json = appendQuoted(w.patch.json, p.value)
			w.patch.end()
			w.explain("", p.key, p.value, p.rule, w.source(p.from))
		}
	}
}

// createMap adds the labels or annotations of a pod that has none.
func (w *wiring) createMap(name string) {
	w.patch.add("metadata", name)
	w.patch.json = append(w.patch.json, "{}"...)
	w.patch.end()
	w.createdAnnotations = w.createdAnnotations || name == "annotations"
}

// isOurs reports whether an existing label or annotation was set by an earlier wiring.
func (w *wiring) isOurs(key string) bool {
	return w.hasPrevious && !slices.Contains(w.previous.Kept, key)
}

// scrape returns the labels and annotations by which Prometheus scrapes the pod, or
// none. If the user set prometheus.io/scrape, that decides.
func (w *wiring) scrape() (labels, annotations []pair) {
	if !w.request.Metrics {
		return nil, nil
	}
	annotated := w.pod.Metadata.Annotations
	if value, set := annotated[injection.AnnotationPrometheusScrape]; set && !w.isOurs(injection.AnnotationPrometheusScrape) {
		w.status.Kept = append(w.status.Kept, injection.AnnotationPrometheusScrape)
		w.note(Note{Reason: UserScrape, Subject: injection.AnnotationPrometheusScrape, Detail: value})
		return nil, nil
	}
	port, rule, found := w.metricsPort()
	if own, set := annotated[injection.AnnotationPrometheusPort]; set && !w.isOurs(injection.AnnotationPrometheusPort) {
		port, rule, found = own, "annotation", true
	}
	if !found {
		return nil, nil
	}
	labels = []pair{{injection.LabelMetrics, injection.MetricsScraped, "metrics", injection.AnnotationMetrics}}
	return labels, []pair{
		{injection.AnnotationPrometheusScrape, "true", "metrics", injection.AnnotationMetrics},
		{injection.AnnotationPrometheusPort, port, rule, injection.AnnotationMetricsPort},
		{injection.AnnotationPrometheusPath, w.request.MetricsPath, "metrics", injection.AnnotationMetricsPath},
		{injection.AnnotationPrometheusScheme, w.request.MetricsScheme, "metrics", injection.AnnotationMetricsScheme},
	}
}

// metricsPort returns the port that serves metrics: the one in the annotation, the
// one with a name that is common for metrics, or the only one.
func (w *wiring) metricsPort() (number, rule string, found bool) {
	if requested := w.request.MetricsPort; requested != "" {
		if _, err := strconv.Atoi(requested); err == nil {
			return requested, "annotation", true
		}
		if number, found := w.namedPort(requested); found {
			return number, "annotation", true
		}
		w.note(Note{Reason: UnknownMetricsPort, Subject: injection.AnnotationMetricsPort, Detail: requested})
		return "", "", false
	}
	for _, name := range [...]string{"metrics", "http-metrics", "prometheus"} {
		if number, found := w.namedPort(name); found {
			return number, "port name", true
		}
	}
	count := 0
	var only port
	for p := range w.appPorts {
		only = p
		count++
	}
	if count != 1 || !w.speaksHTTP(only) {
		w.note(Note{Reason: NoMetricsPort})
		return "", "", false
	}
	return itoa(only.ContainerPort), "single HTTP port", true
}

// speaksHTTP reports whether the name of a port says that it serves HTTP in the
// requested scheme: http, http-admin.
func (w *wiring) speaksHTTP(p port) bool {
	return p.Name == w.request.MetricsScheme || strings.HasPrefix(p.Name, w.request.MetricsScheme+"-")
}

func (w *wiring) namedPort(name string) (string, bool) {
	for p := range w.appPorts {
		if p.Name == name {
			return itoa(p.ContainerPort), true
		}
	}
	return "", false
}

// appPorts yields the TCP ports of the containers that are part of the app, including
// its native sidecars, such as an exporter.
func (w *wiring) appPorts(yield func(port) bool) {
	for kind, list := range [...][]container{w.pod.Spec.Containers, w.pod.Spec.InitContainers} {
		for i := range list {
			c := &list[i]
			if kind == 1 && c.RestartPolicy != "Always" || w.isForeign(c) {
				continue
			}
			for _, p := range c.Ports {
				if isTCP(p) && !yield(p) {
					return
				}
			}
		}
	}
}

// writeStatus writes the status annotation.
func (w *wiring) writeStatus() {
	text, err := json.Marshal(w.status)
	if err != nil {
		text = []byte(`{"config":"` + w.engine.hash + `"}`) // a name is not UTF-8: keep at least the hash
	}
	if len(w.pod.Metadata.Annotations) == 0 && !w.createdAnnotations {
		w.createMap("annotations")
	}
	w.patch.add("metadata", "annotations", injection.AnnotationStatus)
	w.patch.json = appendQuoted(w.patch.json, text)
	w.patch.end()
	w.explain("", injection.AnnotationStatus, string(text), "status", "this program")
}
