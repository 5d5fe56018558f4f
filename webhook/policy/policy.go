// Package policy expresses the injection engine as a MutatingAdmissionPolicy, for clusters that
// want no webhook in the path of their pods. The lists, expressions and values of the policy
// are the engine's own. What the language of the policy, CEL, cannot do is listed in
// [Features]: such a pod is left alone as a whole.
package policy

import (
	"bytes"
	_ "embed" // policy.yaml
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// Name is the name of the policy and its binding. Those of a namespace with a configuration of
// its own have the namespace's name behind it.
const Name = "novawire"

// OldestVersion is the first minor version of Kubernetes 1 with the API in version v1.
const OldestVersion = 36

//go:embed policy.yaml
var template string

var placeholder = regexp.MustCompile(`<<(encode |listens |fit |unread )?([^<>]+)>>`)

// Write returns the policy and its binding, and another pair for each namespace with a
// configuration of its own, as YAML documents. It returns an error if the configuration needs
// what a policy cannot do.
func Write(config inject.Config) ([]byte, error) {
	if minor, err := config.KubernetesMinor(); err == nil && minor < OldestVersion {
		return nil, fmt.Errorf("kubernetesVersion: %q has no MutatingAdmissionPolicy: use 1.%d or later", config.KubernetesVersion, OldestVersion)
	}
	engine, err := inject.New(config)
	if err != nil {
		return nil, err
	}
	special, names := engine.Namespaces(), Names(engine)
	selected := slices.Sorted(maps.Values(names))[1:] // without "", all others
	documents := [][]byte{write(engine, Name, selector("NotIn", append(injection.ExcludedNamespaces(), selected...)))}
	for _, namespace := range selected {
		documents = append(documents, write(special[namespace], NameIn(namespace), selector("In", []string{namespace})))
	}
	return bytes.Join(documents, []byte("---\n")), nil
}

// Names returns the namespaces that Write makes policies for, by policy name; "" is all others.
func Names(e *inject.Engine) map[string]string {
	names := map[string]string{Name: ""}
	for namespace := range e.Namespaces() {
		if !injection.IsExcluded(namespace) {
			names[NameIn(namespace)] = namespace
		}
	}
	return names
}

// NameIn returns the name of the policy of a namespace with a configuration of its own.
func NameIn(namespace string) string { return Name + "-" + namespace }

func selector(operator string, namespaces []string) string {
	return "{key: kubernetes.io/metadata.name, operator: " + operator + ", values: [" + strings.Join(namespaces, ", ") + "]}"
}

func write(engine *inject.Engine, name, namespaces string) []byte {
	values := valuesOf(engine)
	values["name"], values["namespaces"] = name, namespaces
	return []byte(placeholder.ReplaceAllStringFunc(template, func(found string) string {
		parts := placeholder.FindStringSubmatch(found)
		switch function, argument := parts[1], parts[2]; function {
		case "encode ":
			return encode(argument)
		case "unread ":
			return unread(argument)
		case "fit ":
			return fit(argument)
		case "listens ":
			return listens(engine.Rules(), argument)
		default:
			v, ok := values[argument]
			if !ok {
				panic("policy.yaml has a placeholder without a value: " + argument)
			}
			return v
		}
	}))
}

// valuesOf returns what the placeholders of policy.yaml stand for.
func valuesOf(engine *inject.Engine) map[string]string {
	rules, config, defaults := engine.Rules(), engine.Config(), engine.Defaults()
	podName, podUID, nodeName := rules.KnownVariables[0], rules.KnownVariables[1], rules.KnownVariables[2]
	return map[string]string{
		"optInLabel": injection.LabelWiring, "optedIn": injection.WiringEnabled,
		"optOutLabel": injection.LabelWiring, "optedOut": injection.WiringDisabled,
		"statusKey":                 injection.AnnotationStatus,
		"statusPath":                strings.ReplaceAll(injection.AnnotationStatus, "/", "~1"),
		"openTelemetryPrefix":       injection.OpenTelemetryPrefix,
		"openTelemetryPrefixLength": strconv.Itoa(len(injection.OpenTelemetryPrefix)),
		"serviceNameKey":            injection.AnnotationServiceName,
		"resourceAttributesKey":     injection.AnnotationResourceAttributes,
		"collectorKey":              injection.AnnotationCollector,
		"repairKey":                 injection.AnnotationRepair,
		"redactKey":                 injection.AnnotationRedact,
		"containersKey":             injection.AnnotationContainers,
		"metricsPortKey":            injection.AnnotationMetricsPort,
		"metricsLabel":              injection.LabelMetrics,
		"loggingLabel":              injection.LabelLogging,
		"structured":                injection.LoggingStructured,
		"sidecarName":               sidecarapi.ContainerName,
		"podName":                   podName, "podUID": podUID, "nodeName": nodeName,

		"redactionNotes":  redactionNotes(engine),
		"patterns":        texts(patterns),
		"forbidden":       forbidden(config.AllowedOverrides),
		"defaults":        texts(settings(defaults)),
		"exceedsMaximum":  exceedsMaximum(config.AllowedOverrides.SidecarMaximum),
		"minimum":         texts(map[string]string{"cpu": injection.MinimumSidecarCPU, "memory": injection.MinimumSidecarMemory}),
		"amountsByConfig": amounts(defaults.Sidecar),
		"givenByConfig":   attributes(defaults.ResourceAttributes),
		"nameByConfig":    text(defaults.ServiceName),
		"nameLabels":      nameLabels(config.ServiceNameLabels),

		"firstScheduledMinute":  strconv.Itoa(workload.FirstScheduledMinute),
		"ownerAttributes":       texts(ownerAttributes()),
		"deploymentEnvironment": text(encoded(config.DeploymentEnvironment)),
		"clusterName":           text(encoded(config.ClusterName)),

		"foreignNames":     list(rules.ForeignNames),
		"collectorNames":   list(rules.CollectorNames),
		"collectorImage":   text("(?:^|/)" + alternatives(rules.CollectorNames) + imageEnd),
		"otlpServerImage":  text("(?:^|/)" + alternatives(rules.OTLPServers) + imageEnd),
		"meshProxies":      list(rules.MeshProxies),
		"knownVariables":   list(rules.KnownVariables),
		"keepable":         list(rules.KnownVariables[len(rules.IdentityFields):]),
		"ownAttributes":    text(containerAttributes),
		"metricsPortNames": list(rules.MetricsPortNames),
		"istioMetricsPath": rules.IstioMetricsPath,
		"gateways":         texts(map[string]string{string(sidecarapi.ProtocolGRPC): config.Gateway.GRPCEndpoint, string(sidecarapi.ProtocolHTTP): config.Gateway.HTTPEndpoint}),
		"endpointGRPC":     text("http://127.0.0.1:" + strconv.Itoa(sidecarapi.PortOTLPGRPC)),
		"endpointHTTP":     text("http://127.0.0.1:" + strconv.Itoa(sidecarapi.PortOTLPHTTP)),
		"loopbackAddress":  text(onSidecarPort(rules.LoopbackAddress)),
		"portFlag":         text(rules.PortFlag),
		"propagators":      propagators(config.Propagators),
		"sampler":          inject.Sampler,
		"identity":         identity(rules),
		"sidecar":          sidecar(engine),
		"hash":             engine.Hash(),
		"version":          version(config.Version),
		"byPolicy":         inject.ByPolicy,
		"emptyMap":         "{}",
		"features":         comments(),
	}
}

// version returns the member of the status annotation that has the version of the program.
func version(v string) string {
	if v == "" {
		return ""
	}
	return `"version":"` + v + `",`
}

// sidecar returns the container as an expression. The engine's own container is the source; what
// differs between pods is replaced.
func sidecar(engine *inject.Engine) string {
	var container struct {
		Env             []map[string]any
		SecurityContext map[string]any
	}
	fields := map[string]any{}
	for _, into := range []any{&container, &fields} {
		decoder := json.NewDecoder(bytes.NewReader(engine.Sidecar()))
		decoder.UseNumber()
		if err := decoder.Decode(into); err != nil {
			panic("the engine wrote a sidecar that is not JSON: " + err.Error())
		}
	}
	members := map[string]string{}
	for name, member := range fields {
		members[text(name)] = value(member)
	}
	members[`"env"`] = sidecarVariables(container.Env)
	delete(members, `"resources"`)
	members[`?"resources"`] = `variables.podResources ? optional.none() : optional.of(dyn({` +
		`"limits": ` + amountsAt(1) + `, "requests": ` + amountsAt(0) + `}))`
	members[`"securityContext"`] = securityContext(engine, container.SecurityContext)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		parts = append(parts, name+": "+members[name])
	}
	return "dyn({" + strings.Join(parts, ",\n        ") + "})"
}

// sidecarVariables returns the sidecar's env as an expression. What differs between pods comes first.
func sidecarVariables(env []map[string]any) string {
	var first, rest []string
	list := &first
	for _, v := range env {
		switch v["name"] {
		case sidecarapi.EnvResourceAttributes:
			first = append(first, `dyn({"name": `+text(sidecarapi.EnvResourceAttributes)+`, "value": variables.sidecarAttributes})`)
			list = &rest
		case sidecarapi.EnvSpanMetrics: // the annotation decides
		default:
			*list = append(*list, value(v))
		}
	}
	spanMetrics := `(variables.settings["span-metrics"] == "true" ? [` + value(map[string]any{"name": sidecarapi.EnvSpanMetrics, "value": "true"}) + `] : [])`
	return "dyn([" + strings.Join(first, ", ") + "] + " + spanMetrics + " + [" + strings.Join(rest, ", ") + "])"
}

// securityContext leaves user and group to a platform that assigns them.
func securityContext(engine *inject.Engine, fields map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name == "runAsUser" || name == "runAsGroup" {
			parts = append(parts, fmt.Sprintf(`?%q: variables.namespaceAnnotations[?%q].orValue("") != "" ? optional.none() : optional.of(%s)`,
				name, engine.Rules().UIDRangeAnnotation, value(fields[name])))
			continue
		}
		parts = append(parts, text(name)+": "+value(fields[name]))
	}
	return "dyn({" + strings.Join(parts, ", ") + "})"
}
