package inject

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/api/injection"
)

// pair is a label or annotation that the pod should have.
type pair struct {
	key, value string
	rule, from string // from: the annotation that would change it
}

// wireMetadata sets labels and scrape annotations. Of an earlier, current wiring
// they stand as they are.
func (w *wiring) wireMetadata() {
	if w.current() {
		w.status.Kept = w.old.Kept
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

// setAll writes what is wanted of one map, each key for itself: the user's stay,
// and what an older wiring set and this one does not want goes.
func (w *wiring) setAll(name string, now map[string]string, wanted []pair, known ...string) {
	for _, key := range known {
		_, present := now[key]
		if present && w.ours(key) && !slices.ContainsFunc(wanted, func(p pair) bool { return p.key == key }) {
			w.patch.remove("metadata", name, key)
		}
	}
	if len(now) == 0 && len(wanted) > 0 {
		w.makeMap(name)
	}
	for _, p := range wanted {
		value, present := now[p.key]
		switch {
		case present && !w.ours(p.key):
			w.status.Kept = append(w.status.Kept, p.key)
			if value != p.value {
				w.note(Note{Reason: UserLabel, Subject: p.key, Detail: value})
			}
		case !present || value != p.value:
			w.patch.add("metadata", name, p.key)
			w.patch.json = appendQuoted(w.patch.json, p.value)
			w.patch.end()
			w.explain("", p.key, p.value, p.rule, w.source(p.from))
		}
	}
}

// makeMap makes labels or annotations where the pod has none.
func (w *wiring) makeMap(name string) {
	w.patch.add("metadata", name)
	w.patch.json = append(w.patch.json, "{}"...)
	w.patch.end()
	w.madeAnnotations = w.madeAnnotations || name == "annotations"
}

// ours tells that a label or annotation that is there is of an older wiring.
func (w *wiring) ours(key string) bool {
	return w.wired && !slices.Contains(w.old.Kept, key)
}

// scrape decides whether and where Prometheus scrapes the pod. Who has set
// prometheus.io/scrape has decided already.
func (w *wiring) scrape() (labels, annotations []pair) {
	if !w.request.Metrics {
		return nil, nil
	}
	now := w.pod.Metadata.Annotations
	if value, set := now[injection.AnnotationPrometheusScrape]; set && !w.ours(injection.AnnotationPrometheusScrape) {
		w.status.Kept = append(w.status.Kept, injection.AnnotationPrometheusScrape)
		w.note(Note{Reason: UserScrape, Subject: injection.AnnotationPrometheusScrape, Detail: value})
		return nil, nil
	}
	port, rule, found := w.metricsPort()
	if own, set := now[injection.AnnotationPrometheusPort]; set && !w.ours(injection.AnnotationPrometheusPort) {
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

// metricsPort is the port that the annotation says, that has one of the names
// metrics go by, or that is the only one.
func (w *wiring) metricsPort() (number, rule string, found bool) {
	if asked := w.request.MetricsPort; asked != "" {
		if _, err := strconv.Atoi(asked); err == nil {
			return asked, "annotation", true
		}
		if number, found := w.namedPort(asked); found {
			return number, "annotation", true
		}
		w.note(Note{Reason: UnknownMetricsPort, Subject: injection.AnnotationMetricsPort, Detail: asked})
		return "", "", false
	}
	for _, name := range [...]string{"metrics", "http-metrics", "prometheus"} {
		if number, found := w.namedPort(name); found {
			return number, "port name", true
		}
	}
	ports := 0
	for p := range w.appPorts {
		if p.Protocol == "" || p.Protocol == "TCP" {
			number, ports = itoa(p.ContainerPort), ports+1
		}
	}
	if ports != 1 {
		w.note(Note{Reason: NoMetricsPort})
		return "", "", false
	}
	return number, "single port", true
}

func (w *wiring) namedPort(name string) (string, bool) {
	for p := range w.appPorts {
		if p.Name == name {
			return itoa(p.ContainerPort), true
		}
	}
	return "", false
}

// appPorts yields the ports of the app's containers.
func (w *wiring) appPorts(yield func(port) bool) {
	for i := range w.pod.Spec.Containers {
		c := &w.pod.Spec.Containers[i]
		if w.foreign[c.Name] {
			continue
		}
		for _, p := range c.Ports {
			if !yield(p) {
				return
			}
		}
	}
}

// writeStatus records the wiring in the pod.
func (w *wiring) writeStatus() {
	text, err := json.Marshal(w.status)
	if err != nil {
		text = []byte(`{"config":"` + w.hash + `"}`) // a name that is not UTF-8: keep the hash at least
	}
	if len(w.pod.Metadata.Annotations) == 0 && !w.madeAnnotations {
		w.makeMap("annotations")
	}
	w.patch.add("metadata", "annotations", injection.AnnotationStatus)
	w.patch.json = appendQuoted(w.patch.json, text)
	w.patch.end()
	w.explain("", injection.AnnotationStatus, string(text), "status", "this program")
}
