package inject

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/api/injection"
)

// Istio's injector points prometheus.io/* to its agent, which serves the metrics of the
// proxy. The agent adds those of the app if a variable names the app's endpoint; the
// injector sets it from the annotations that the pod had before (istio.io/istio,
// pkg/kube/inject, applyPrometheusMerge).
const (
	istioProxy       = "istio-proxy"
	istioMetricsPath = "/stats/prometheus"
	istioAppMetrics  = "ISTIO_PROMETHEUS_ANNOTATIONS"
)

// mergeMetrics names the app's endpoint to Istio's agent if Istio's injector did not,
// because it was called before the pod had our annotations. The value is the one that
// the injector would have set. Prometheus reaches the agent even if the mesh refuses
// connections without mTLS.
func (w *wiring) mergeMetrics() {
	if !w.request.Metrics || w.upToDate() || !w.pointsToIstio() {
		return
	}
	if bytes.Contains(w.raw, []byte(istioAppMetrics)) {
		w.merged = true
		return
	}
	port, rule, missing := w.metricsPort()
	list, index := w.istioAgent()
	if missing.Reason != "" || index < 0 || w.request.MetricsScheme != "http" || isIstioPort(port) {
		return
	}
	endpoint := appendMember([]byte(`{"scrape":"true"`), "path", w.request.MetricsPath)
	endpoint = append(appendMember(endpoint, "port", port), '}')
	value := escapeReferences(string(endpoint))
	w.patch.add("spec", list, itoa(index), "env", "-")
	w.patch.json = appendVariable(w.patch.json, istioAppMetrics, value)
	w.patch.end()
	w.explain(istioProxy, istioAppMetrics, value, rule, w.source(injection.AnnotationMetricsPort))
	w.merged = true
}

// pointsToIstio reports whether the scrape annotations are those of Istio's injector.
func (w *wiring) pointsToIstio() bool {
	annotated := w.pod.Metadata.Annotations
	return annotated[injection.AnnotationPrometheusPath] == istioMetricsPath && annotated[injection.AnnotationPrometheusScrape] == injection.MetricsScraped
}

// istioAgent returns the place of Istio's proxy. Without variables it is another
// container of that name.
func (w *wiring) istioAgent() (list string, index int) {
	is := func(c container) bool { return c.Name == istioProxy && c.Env.count > 0 }
	if i := slices.IndexFunc(w.pod.Spec.InitContainers, is); i >= 0 {
		return "initContainers", i
	}
	return "containers", slices.IndexFunc(w.pod.Spec.Containers, is)
}

// metricsPortNames are names that are common for ports that serve metrics, the most likely first.
var metricsPortNames = [...]string{"metrics", "http-metrics", "prometheus"}

// isIstioPort reports whether a port is in the range that Istio reserves. The agent does
// not start if it is told to scrape one.
func isIstioPort(port string) bool {
	number, err := strconv.Atoi(port)
	return err != nil || number >= 15000 && number < 15100
}

// scrape returns the labels and annotations by which Prometheus scrapes the pod, or
// none.
func (w *wiring) scrape() (labels, annotations []pair) {
	if !w.request.Metrics {
		return nil, nil
	}
	if value, set := w.foreignAnnotation(injection.AnnotationPrometheusScrape); set && value != injection.MetricsScraped {
		w.status.Kept = append(w.status.Kept, injection.AnnotationPrometheusScrape)
		w.note(Note{Reason: UserScrape, Subject: injection.AnnotationPrometheusScrape, Detail: value})
		return nil, nil
	}
	labels = append(make([]pair, 0, 2), pair{injection.LabelMetrics, injection.MetricsScraped, "metrics", injection.AnnotationMetrics})
	theirs, set := w.foreignAnnotation(injection.AnnotationPrometheusPort)
	if w.merged {
		w.note(Note{Reason: MergedMetrics, Container: istioProxy})
		return labels, append(w.presentScrape(), pair{injection.AnnotationPrometheusScheme, "http", "metrics", ""})
	}
	port, rule, missing := w.metricsPort()
	found, elsewhere := missing.Reason == "", set && w.isForeignPort(theirs)
	switch {
	case elsewhere && found:
		w.note(Note{Reason: SidecarScrape, Subject: injection.AnnotationPrometheusPort, Detail: theirs})
		endpoint := w.request.MetricsScheme + "://:" + port + w.request.MetricsPath
		return labels, append(w.presentScrape(), pair{injection.AnnotationMetricsEndpoint, endpoint, rule, injection.AnnotationMetricsPort})
	case set && !w.pointsToIstio():
		port, rule = theirs, "annotation"
	case !found:
		w.note(missing)
		return nil, w.presentScrape()
	}
	return labels, []pair{
		{injection.AnnotationPrometheusScrape, injection.MetricsScraped, "metrics", injection.AnnotationMetrics},
		{injection.AnnotationPrometheusPort, port, rule, injection.AnnotationMetricsPort},
		{injection.AnnotationPrometheusPath, w.request.MetricsPath, "metrics", injection.AnnotationMetricsPath},
		{injection.AnnotationPrometheusScheme, w.request.MetricsScheme, "metrics", injection.AnnotationMetricsScheme},
	}
}

// foreignAnnotation returns an annotation that no earlier wiring set.
func (w *wiring) foreignAnnotation(key string) (value string, set bool) {
	value, set = w.pod.Metadata.Annotations[key]
	return value, set && !w.isOurs(key)
}

// presentScrape returns the scrape annotations of the user or another webhook as they
// are, so that they stay.
func (w *wiring) presentScrape() (annotations []pair) {
	for _, key := range [...]string{injection.AnnotationPrometheusScrape, injection.AnnotationPrometheusPort, injection.AnnotationPrometheusPath} {
		if value, set := w.pod.Metadata.Annotations[key]; set && (!w.isOurs(key) || w.pointsToIstio()) {
			annotations = append(annotations, pair{key: key, value: value})
		}
	}
	return annotations
}

// isForeignPort reports whether a port belongs to a container that is not part of the
// app, such as the proxy of a mesh.
func (w *wiring) isForeignPort(number string) bool {
	for _, list := range [...][]container{w.pod.Spec.Containers, w.pod.Spec.InitContainers} {
		for i := range list {
			is := func(p port) bool { return itoa(p.ContainerPort) == number }
			if list[i].foreign && slices.ContainsFunc(list[i].Ports, is) {
				return true
			}
		}
	}
	return w.pointsToIstio()
}

// metricsPort returns the port that serves metrics and the rule by which it was found:
// the one in the annotation, the one with a name that is common for metrics, or the
// only one. If there is none, it returns the reason.
func (w *wiring) metricsPort() (number, rule string, missing Note) {
	if requested := w.request.MetricsPort; requested != "" {
		if _, err := strconv.Atoi(requested); err == nil {
			return requested, "annotation", Note{}
		}
		if number, found := w.namedPort(requested); found {
			return number, "annotation", Note{}
		}
		return "", "", Note{Reason: UnknownMetricsPort, Subject: injection.AnnotationMetricsPort, Detail: requested}
	}
	for _, name := range metricsPortNames {
		if number, found := w.namedPort(name); found {
			return number, "port name", Note{}
		}
	}
	count := 0
	var only port
	for p := range w.appPorts {
		only = p
		count++
	}
	if count != 1 || !w.speaksHTTP(only) {
		return "", "", Note{Reason: NoMetricsPort}
	}
	return itoa(only.ContainerPort), "single HTTP port", Note{}
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
			if kind == 1 && c.RestartPolicy != "Always" || c.foreign {
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
