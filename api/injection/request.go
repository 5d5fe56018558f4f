package injection

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/api"
	"github.com/nova/novawire/api/attribute"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/validate"
)

// Collector says where the telemetry of a pod goes.
type Collector string

// The values of [AnnotationCollector].
const (
	CollectorSidecar Collector = "sidecar"
	CollectorGateway Collector = "gateway"
	CollectorNone    Collector = "none"
)

// Request is a parsed injection request. Each field has the value of the strongest
// layer with a valid one, or the default.
type Request struct {
	Collector          Collector
	Protocol           sidecarapi.Protocol
	ServiceName        string // "" if no layer sets it
	ServiceNameFrom    string // the layer that set ServiceName
	ResourceAttributes []attribute.KeyValue
	TraceSampling      string   // a ratio, as written
	Containers         []string // nil for all
	Logs               bool
	Metrics            bool
	MetricsPort        string // a port's name or number; "" if no layer sets it
	MetricsPath        string
	MetricsScheme      string
	SpanMetrics        bool
	Sidecar            Resources
	Redact             string // the rules of all layers, as api/redaction reads them
}

// Layer is one source of annotations.
type Layer struct {
	Source      string // as refusals name it: "namespace", "pod"
	Annotations map[string]string
}

// ParseRequest reads the inject.nova.dev keys of the layers, weakest first, on
// top of defaults. A bad value is ignored: the weaker layer's value holds. So is
// an unknown key. Refusals come in the order of [Keys].
func ParseRequest(defaults Request, layers ...Layer) (Request, []validate.Refusal) {
	return Policy{}.ParseRequest(defaults, layers...)
}

// ParseRequest is like the function of this name and also ignores what the policy
// forbids.
func (p Policy) ParseRequest(defaults Request, layers ...Layer) (Request, []validate.Refusal) {
	r := defaults
	var refusals []validate.Refusal
	for _, layer := range layers {
		known := 0
		for _, rule := range requestRules {
			value, ok := layer.Annotations[rule.key]
			if !ok {
				continue
			}
			known++
			if refusal, forbidden := p.forbids(layer, rule.key, value); forbidden {
				refusals = append(refusals, refusal)
				continue
			}
			before := r
			if err := rule.set(&r, layer.Source, value); err != nil {
				r = before
				refusals = append(refusals, layer.refusal(rule.key, err))
			}
			if named := r.ServiceName; named != before.ServiceName {
				if refusal, forbidden := p.forbids(layer, AnnotationServiceName, named); forbidden {
					r.ServiceName, r.ServiceNameFrom = before.ServiceName, before.ServiceNameFrom
					refusals = append(refusals, refusal)
				}
			}
		}
		refusals = p.setOpenTelemetryAttributes(&r, refusals, layer)
		refusals = p.addRedaction(&r, refusals, layer)
		refusals = fitResources(&r.Sidecar, refusals, layer)
		refusals = appendUnknown(refusals, layer, known)
	}
	return r, refusals
}

// setOpenTelemetryAttributes reads the pod's resource.opentelemetry.io annotations.
// Each sets the resource attribute that it is named after, and they rank first, as the
// semantic conventions require (Kubernetes resource attributes, "Specify resource
// attributes using Kubernetes annotations").
func (p Policy) setOpenTelemetryAttributes(r *Request, refusals []validate.Refusal, layer Layer) []validate.Refusal {
	if layer.Source != SourcePod {
		return refusals
	}
	var found []string
	for key := range layer.Annotations {
		if strings.HasPrefix(key, OpenTelemetryPrefix) {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	for i, key := range found {
		if i == 0 {
			r.ResourceAttributes = slices.Clone(r.ResourceAttributes)
		}
		a := attribute.KeyValue{Key: strings.TrimPrefix(key, OpenTelemetryPrefix), Value: layer.Annotations[key]}
		allowedWith := AnnotationResourceAttributes
		if a.Key == "service.name" {
			allowedWith = AnnotationServiceName
		}
		if refusal, forbidden := p.forbids(layer, allowedWith, a.Value); forbidden {
			refusal.Setting = key
			refusals = append(refusals, refusal)
			continue
		}
		if a.Key != "service.name" {
			r.ResourceAttributes = attribute.Set(r.ResourceAttributes, a)
		} else if err := setServiceName(r, layer.Source, a.Value); err != nil {
			refusals = append(refusals, layer.refusal(key, err))
		}
	}
	return refusals
}

// refusal reports the layer's value of a key, which is ignored.
func (l Layer) refusal(key string, reason error) validate.Refusal {
	return validate.Refusal{Source: l.Source, Setting: key, Value: validate.Redact(l.Annotations[key]), Allowed: reason.Error(), Ignored: true}
}

// appendUnknown appends a refusal for each unknown key of a layer, sorted by key, with
// the nearest known key.
func appendUnknown(refusals []validate.Refusal, layer Layer, known int) []validate.Refusal {
	ours := 0
	for key := range layer.Annotations {
		if strings.HasPrefix(key, AnnotationPrefix) && !layer.concernsOthers(key) {
			ours++
		}
	}
	if ours == known {
		return refusals
	}
	for _, key := range slices.Sorted(maps.Keys(layer.Annotations)) {
		if !strings.HasPrefix(key, AnnotationPrefix) || layer.concernsOthers(key) || isRequestKey(key) {
			continue
		}
		problem := "there is no such annotation"
		if key == AnnotationRepair {
			problem = "it has an effect on the workload itself or on its Namespace"
		} else if nearest := api.Nearest(keys, key); nearest != "" {
			problem += "; did you mean " + nearest + "?"
		}
		refusals = append(refusals, validate.Refusal{Source: layer.Source, Setting: key, Value: validate.Redact(layer.Annotations[key]), Problem: problem, Ignored: true})
	}
	return refusals
}

// concernsOthers reports whether an annotation of the layer is not about injection.
func (l Layer) concernsOthers(key string) bool {
	return key == AnnotationStatus || key == AnnotationRepair && l.Source == SourceNamespace
}

type requestRule struct {
	key string
	set func(r *Request, source, value string) error
}

func isRequestKey(key string) bool {
	for _, rule := range requestRules {
		if rule.key == key {
			return true
		}
	}
	return false
}

// requestRules has the rule of each annotation, in the order of [Keys] and of refusals.
var requestRules = []requestRule{
	{AnnotationCollector, func(r *Request, _, v string) error {
		return oneOf(&r.Collector, v, CollectorSidecar, CollectorGateway, CollectorNone)
	}},
	{AnnotationProtocol, func(r *Request, _, v string) error {
		return oneOf(&r.Protocol, v, sidecarapi.ProtocolGRPC, sidecarapi.ProtocolHTTP)
	}},
	{AnnotationServiceName, setServiceName},
	{AnnotationResourceAttributes, setResourceAttributes},
	{AnnotationTraceSampling, setTraceSampling},
	{AnnotationContainers, setContainers},
	{AnnotationLogs, func(r *Request, _, v string) error {
		var logs string
		err := oneOf(&logs, v, LoggingStructured, "none")
		r.Logs = logs == LoggingStructured
		return err
	}},
	{AnnotationMetrics, func(r *Request, _, v string) error { return setBool(&r.Metrics, v) }},
	{AnnotationMetricsPort, setMetricsPort},
	{AnnotationMetricsPath, func(r *Request, _, v string) error {
		if !strings.HasPrefix(v, "/") || strings.ContainsAny(v, " \t\r\n") {
			return errors.New("an absolute path such as /metrics")
		}
		r.MetricsPath = v
		return nil
	}},
	{AnnotationMetricsScheme, func(r *Request, _, v string) error {
		return oneOf(&r.MetricsScheme, v, "http", "https")
	}},
	{AnnotationSpanMetrics, func(r *Request, _, v string) error { return setBool(&r.SpanMetrics, v) }},
	{AnnotationSidecarCPURequest, func(r *Request, _, v string) error { return setQuantity(&r.Sidecar.CPURequest, v, "") }},
	{AnnotationSidecarCPULimit, func(r *Request, _, v string) error {
		return setQuantity(&r.Sidecar.CPULimit, v, MinimumSidecarCPU)
	}},
	{AnnotationSidecarMemoryRequest, func(r *Request, _, v string) error { return setQuantity(&r.Sidecar.MemoryRequest, v, "") }},
	{AnnotationSidecarMemoryLimit, func(r *Request, _, v string) error {
		return setQuantity(&r.Sidecar.MemoryLimit, v, MinimumSidecarMemory)
	}},
	{AnnotationRedact, func(*Request, string, string) error { return nil }}, // Policy.addRedaction
}

func oneOf[T ~string](field *T, value string, allowed ...T) error {
	for _, a := range allowed {
		if value == string(a) {
			*field = a
			return nil
		}
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	last := len(names) - 1
	return fmt.Errorf("%s or %s", strings.Join(names[:last], ", "), names[last])
}

func setBool(field *bool, value string) error {
	var text string
	err := oneOf(&text, value, "true", "false")
	*field = text == "true"
	return err
}

func setServiceName(r *Request, source, v string) error {
	if v == "" || len(v) > 255 || strings.TrimSpace(v) != v || strings.ContainsFunc(v, isControl) {
		return errors.New("1 to 255 printable characters")
	}
	r.ServiceName, r.ServiceNameFrom = v, source
	return nil
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' }

func setResourceAttributes(r *Request, source, v string) error {
	attributes, mistakes := attribute.Parse(v)
	merged := append([]attribute.KeyValue(nil), r.ResourceAttributes...)
	for _, a := range attributes {
		switch a.Key {
		case "": // annotations have no references
			return fmt.Errorf("key=value pairs joined by commas: attribute %q is not", a.Value)
		case "service.name":
			if r.ServiceNameFrom == source {
				continue // the annotation service-name of the same layer is stronger
			}
			if err := setServiceName(r, source, a.Value); err != nil {
				return err
			}
		default:
			merged = attribute.Set(merged, a)
		}
	}
	if len(mistakes) > 0 {
		return fmt.Errorf("key=value pairs joined by commas: %w", mistakes[0])
	}
	r.ResourceAttributes = merged
	return nil
}

func setTraceSampling(r *Request, _, v string) error {
	ratio, err := strconv.ParseFloat(v, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) || strings.ContainsAny(v, "xXpP_+-") {
		return errors.New("a ratio from 0 to 1, such as 0.25")
	}
	r.TraceSampling = v
	return nil
}

func setContainers(r *Request, _, v string) error {
	var names []string
	for name := range strings.SplitSeq(v, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return errors.New("container names joined by commas")
		}
		names = append(names, name)
	}
	r.Containers = names
	return nil
}

func setMetricsPort(r *Request, _, v string) error {
	number, err := strconv.Atoi(v)
	isNumber := err == nil && number >= 1 && number <= 65535 && strconv.Itoa(number) == v
	if !isNumber && !isPortName(v) {
		return errors.New("the name of a declared port, or a number from 1 to 65535")
	}
	r.MetricsPort = v
	return nil
}

// isPortName reports whether a port can have the name (Kubernetes, IANA_SVC_NAME).
func isPortName(v string) bool {
	return len(v) >= 1 && len(v) <= 15 && strings.Trim(v, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		strings.ContainsAny(v, "abcdefghijklmnopqrstuvwxyz") && strings.Trim(v, "-") == v && !strings.Contains(v, "--")
}
