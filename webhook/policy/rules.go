package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/api/attribute"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/api/redaction"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

const (
	// imageEnd is what follows the repository in an image reference.
	imageEnd = `(?::[^/@]*)?(?:@.*)?$`
	// octet is one that needs no percent-encoding.
	octet = `[!#$&-+\--:<>-\[\]-~]`
	// quantity is a quantity without a sign and an exponent.
	quantity = `^[0-9]+(?:\.[0-9]+)?(?:m|k|M|G|Ki|Mi|Gi)?$`
	// containerAttributes is a list that attribute.Repair leaves as it is, with keys that are
	// not encoded.
	containerAttributes = `^(?:` + ownPair + `(?:,` + ownPair + `)*)?$`
	ownPair             = `(?:` + octet + `+=(?:` + octet + `|%[0-9A-Fa-f]{2})*|(?:\$\([A-Za-z0-9_.-]+\))+)`
	// givenPair is a pair that stays the same when it is decoded and encoded again.
	givenPair = `[A-Za-z0-9_./-]+=(?:` + octet + `|%(?:[0189A-F][0-9A-F]|20|22|25|2C|3B|3D|5C|7F))*`
)

// patterns are the values of annotations that the policy reads. The engine reads more: a quantity
// with an exponent, for example. TestPatterns compares the two.
var patterns = map[string]string{
	injection.AnnotationCollector:            `^(?:sidecar|gateway|none)$`,
	injection.AnnotationProtocol:             `^(?:grpc|http/protobuf)$`,
	injection.AnnotationServiceName:          `^[!-~](?:[ -~]{0,253}[!-~])?$`,
	injection.AnnotationResourceAttributes:   `^(?:` + givenPair + `(?:,` + givenPair + `)*)?$`,
	injection.AnnotationTraceSampling:        `^(?:0|1|0?\.[0-9]+|1\.0+)$`,
	injection.AnnotationContainers:           `^ *[a-z0-9-]+ *(?:, *[a-z0-9-]+ *)*$`,
	injection.AnnotationLogs:                 `^(?:structured|none)$`,
	injection.AnnotationMetrics:              `^(?:true|false)$`,
	injection.AnnotationSpanMetrics:          `^(?:true|false)$`,
	injection.AnnotationRedact:               ``, // leaves the pod alone
	injection.AnnotationMetricsPort:          `^(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|[a-z](?:-?[a-z0-9])*)$`,
	injection.AnnotationMetricsPath:          `^/[!-~]*$`,
	injection.AnnotationMetricsScheme:        `^https?$`,
	injection.AnnotationSidecarCPURequest:    quantity,
	injection.AnnotationSidecarCPULimit:      quantity,
	injection.AnnotationSidecarMemoryRequest: quantity,
	injection.AnnotationSidecarMemoryLimit:   quantity,
}

// settings returns the configuration's value of each annotation, by the end of its key. Values
// that are lists are merged elsewhere.
func settings(r injection.Request) map[string]string {
	logs := "none"
	if r.Logs {
		logs = injection.LoggingStructured
	}
	values := map[string]string{}
	for key, value := range map[string]string{
		injection.AnnotationCollector:            string(r.Collector),
		injection.AnnotationProtocol:             string(r.Protocol),
		injection.AnnotationTraceSampling:        r.TraceSampling,
		injection.AnnotationContainers:           strings.Join(r.Containers, ","),
		injection.AnnotationLogs:                 logs,
		injection.AnnotationMetrics:              strconv.FormatBool(r.Metrics),
		injection.AnnotationSpanMetrics:          strconv.FormatBool(r.SpanMetrics),
		injection.AnnotationMetricsPort:          r.MetricsPort,
		injection.AnnotationMetricsPath:          r.MetricsPath,
		injection.AnnotationMetricsScheme:        r.MetricsScheme,
		injection.AnnotationSidecarCPURequest:    r.Sidecar.CPURequest,
		injection.AnnotationSidecarCPULimit:      r.Sidecar.CPULimit,
		injection.AnnotationSidecarMemoryRequest: r.Sidecar.MemoryRequest,
		injection.AnnotationSidecarMemoryLimit:   r.Sidecar.MemoryLimit,
	} {
		values[strings.TrimPrefix(key, injection.AnnotationPrefix)] = value
	}
	return values
}

// unread returns an expression that is true for a key of a layer which the policy does not know, or
// whose value it does not read.
func unread(layer string) string {
	return fmt.Sprintf("(key.startsWith(%s) && key != %s && !(key in patterns && %s[key].matches(patterns[key])))",
		text(injection.AnnotationPrefix), text(injection.AnnotationStatus), layer)
}

// redactionNotes returns what the engine notes about the redaction rules of the configuration.
func redactionNotes(engine *inject.Engine) string {
	if engine.Defaults().Redact == "" {
		return "[]"
	}
	withSidecar := "[]"
	if rules, _ := redaction.Parse(engine.Defaults().Redact); rules.Hashes() && !engine.Config().Sidecar.HasRedactKey() {
		withSidecar = list([]string{string(inject.BadRedaction) + " " + injection.AnnotationRedact})
	}
	return fmt.Sprintf("(variables.collector == 'sidecar' ? %s : %s)", withSidecar, list([]string{string(inject.NoRedaction) + " " + injection.AnnotationRedact}))
}

// forbidden returns an expression that is true for annotations that the platform does not allow.
func forbidden(p injection.Policy) string {
	var conditions []string
	for _, layer := range []struct {
		name, variable string
		allowed        []string
	}{{injection.SourceNamespace, "namespaceAnnotations", p.Namespace}, {injection.SourcePod, "annotations", p.Pod}} {
		if layer.allowed == nil {
			continue
		}
		// An OpenTelemetry annotation is a resource attribute, and both ways can name the service.
		allowed := append([]string{injection.AnnotationStatus}, layer.allowed...)
		conditions = append(conditions, fmt.Sprintf("variables.%s.exists(key, (key.startsWith(%s) || key.startsWith(%s)) && !(key in %s))",
			layer.variable, text(injection.AnnotationPrefix), text(injection.OpenTelemetryPrefix), list(allowed)))
		if !slices.Contains(allowed, injection.AnnotationServiceName) {
			conditions = append(conditions, fmt.Sprintf("variables.%s[?%s].orValue('').contains('service.name')", layer.variable, text(injection.AnnotationResourceAttributes)))
		}
	}
	if len(conditions) == 0 {
		return "false"
	}
	return strings.Join(conditions, " || ")
}

// exceedsMaximum returns an expression that is true for an annotation above the maximum.
func exceedsMaximum(m injection.Maximum) string {
	var conditions []string
	for _, r := range []struct{ name, most string }{{"cpu", m.CPU}, {"memory", m.Memory}} {
		if r.most != "" {
			conditions = append(conditions, fmt.Sprintf("[variables.namespaceAnnotations, variables.annotations].exists(layer, ['request', 'limit'].exists(bound, "+
				"[layer[?('inject.nova.dev/sidecar-%s-' + bound)].orValue('')].exists(a, a != '' && quantity(a).compareTo(quantity(%s)) > 0)))", r.name, text(r.most)))
		}
	}
	if len(conditions) == 0 {
		return "false"
	}
	return strings.Join(conditions, " ||\n        ")
}

// amounts returns a map of request and limit by resource.
func amounts(r injection.Resources) string {
	return object(map[string]string{"cpu": list([]string{r.CPURequest, r.CPULimit}), "memory": list([]string{r.MemoryRequest, r.MemoryLimit})})
}

// amountsAt returns the requests or the limits as an expression, without those that are not set.
func amountsAt(index int) string {
	amount := func(resource int) string {
		return fmt.Sprintf("optional.ofNonZeroValue(variables.amounts[%d][%d])", resource, index)
	}
	return `{?"cpu": ` + amount(0) + `, ?"memory": ` + amount(1) + `}`
}

// fit returns the two steps by which a layer changes a request and its limit, as injection.fitResources does.
func fit(layer string) string {
	const request, limit = "('inject.nova.dev/sidecar-' + r + '-request')", "('inject.nova.dev/sidecar-' + r + '-limit')"
	return fmt.Sprintf("map(a, [string(%[1]s[?%[2]s].orValue(a[0])), string(%[1]s[?%[3]s].orValue(a[1]))])"+
		".map(a, a[0] == '' || a[1] == '' || quantity(a[0]).compareTo(quantity(a[1])) <= 0 ? a : %[2]s in %[1]s ? [a[0], a[0]] : [a[1], a[1]])", layer, request, limit)
}

// encoded returns a value of the configuration as it is in a list of resource attributes.
func encoded(s string) string {
	pair := attribute.Append(nil, 0, attribute.KeyValue{Key: "k", Value: strings.ReplaceAll(s, "$", "$$")})
	return string(pair[len("k="):])
}

// attributes returns a list of pairs.
func attributes(given []attribute.KeyValue) string {
	pairs := make([]string, len(given))
	for i, a := range given {
		pairs[i] = list([]string{a.Key, encoded(a.Value)})
	}
	return "[" + strings.Join(pairs, ", ") + "]"
}

// nameLabels returns a list of label, the label that must be there too, and whether the value is
// the name of one run.
func nameLabels(configured []string) string {
	var labels []string
	for _, label := range configured {
		labels = append(labels, list([]string{label, "", ""}))
	}
	for _, c := range workload.ControllerLabels() {
		run := ""
		if c.Run {
			run = "run"
		}
		labels = append(labels, list([]string{c.Label, c.Condition, run}))
	}
	return "[" + strings.Join(labels, ", ") + "]"
}

func ownerAttributes() map[string]string {
	attributes := map[string]string{}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"} {
		attributes[kind] = workload.Owner{Kind: kind}.Attribute()
	}
	return attributes
}

func propagators(names []string) string {
	if len(names) == 0 {
		return "[]"
	}
	return "[" + texts(map[string]string{"name": "OTEL_PROPAGATORS", "value": strings.Join(names, ",")}) + "]"
}

// identity returns the variables that the downward API fills.
func identity(rules inject.Rules) string {
	var variables []any
	for i, field := range rules.IdentityFields {
		variables = append(variables, map[string]any{
			"name": rules.KnownVariables[i], "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": field}},
		})
	}
	return value(variables)
}

// anyPort is the group of an expression of the engine that finds a port.
const anyPort = `(\d{4,5})`

// onSidecarPort returns an expression whose group, any port, is one of the sidecar's.
func onSidecarPort(expression string) string {
	if !strings.Contains(expression, anyPort) {
		panic("the engine's expression has no group " + anyPort + ": " + expression)
	}
	return strings.ReplaceAll(expression, anyPort, fmt.Sprintf("(?:%d|%d|%d)", sidecarapi.PortOTLPGRPC, sidecarapi.PortOTLPHTTP, sidecarapi.MetricsPort))
}

// listens returns an expression that is true for a setting which listens on a port of the sidecar.
func listens(rules inject.Rules, setting string) string {
	local := `[` + setting + `.replace("localhost", "127.0.0.1").replace("0.0.0.0", "127.0.0.1")]`
	return fmt.Sprintf("(%s.matches(%s) || %s.exists(l, l.matches(%s) && !l.matches(%s)))", setting, text(onSidecarPort(rules.AnyAddress)),
		local, text(onSidecarPort(rules.ListenSetting)), text(rules.RemoteAddress))
}
