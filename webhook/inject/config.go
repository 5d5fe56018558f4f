package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/validate"
)

// revision is part of the configuration hash. Increase it when the engine wires a
// pod differently with the same configuration.
const revision = 2

// Config is the section "injection" of the configuration file.
type Config struct {
	// Version is the version of the program, which the status annotation records; "" for
	// none. It is no setting: neither the file nor the hash has it, so that an upgrade
	// that changes nothing else makes no pod stale.
	Version string `json:"-"`
	// ClusterName becomes k8s.cluster.name; "" leaves the attribute out.
	ClusterName string `json:"clusterName"`
	// DeploymentEnvironment becomes deployment.environment.name; "" leaves it out.
	DeploymentEnvironment string `json:"deploymentEnvironment"`
	// KubernetesVersion decides between a native sidecar (1.29 and later) and a
	// container.
	KubernetesVersion string `json:"kubernetesVersion"`
	// Defaults are inject.nova.dev annotations for every namespace.
	Defaults map[string]string `json:"defaults"`
	// ServiceNameLabels are pod labels that name a service, the strongest first.
	ServiceNameLabels []string `json:"serviceNameLabels"`
	// Propagators become OTEL_PROPAGATORS.
	Propagators []string `json:"propagators"`
	// ForeignSidecars are names of containers that are not part of an app, in
	// addition to the well-known ones.
	ForeignSidecars []string `json:"foreignSidecars"`
	Sidecar         Sidecar  `json:"sidecar"`
	Gateway         Gateway  `json:"gateway"`
	// AllowedOverrides limits what Namespaces and pods may set.
	AllowedOverrides injection.Policy `json:"allowedOverrides,omitzero"`
	// Namespaces are what differs in single namespaces, by name.
	Namespaces map[string]NamespaceConfig `json:"namespaces,omitempty"`
}

// Sidecar is the collector container.
type Sidecar struct {
	Image           string              `json:"image"`
	ImagePullPolicy string              `json:"imagePullPolicy"`
	Resources       injection.Resources `json:"resources"`
	// ArbitraryUser leaves the sidecar's user and group to the platform. Namespaces
	// with OpenShift's range of users imply it.
	ArbitraryUser bool `json:"arbitraryUser"`
	// Env are settings of the sidecar, by variable name.
	Env map[string]string `json:"env"`
	// SecretEnv are settings from a Secret of the pod's namespace, each
	// "name/key". A missing Secret leaves its variable unset and does not keep
	// the pod from starting.
	SecretEnv map[string]string `json:"secretEnv"`
}

// Configured reports whether the sidecar has any settings. Without settings it has
// no backend: it accepts telemetry and counts it as dropped.
func (s Sidecar) Configured() bool { return len(s.Env)+len(s.SecretEnv) > 0 }

// HasRedactKey reports whether there is a key for hashes.
func (s Sidecar) HasRedactKey() bool {
	return s.Env[sidecarapi.EnvRedactKey] != "" || s.SecretEnv[sidecarapi.EnvRedactKey] != ""
}

// Gateway is a shared collector, with an endpoint for each protocol or "" for none.
type Gateway struct {
	GRPCEndpoint string `json:"grpcEndpoint"`
	HTTPEndpoint string `json:"httpEndpoint"`
}

// DefaultConfig returns the configuration of an empty file.
func DefaultConfig() Config {
	return Config{
		KubernetesVersion: "1.37",
		Propagators:       []string{"tracecontext", "baggage"},
		Sidecar: Sidecar{
			Image:           "ghcr.io/nova/novawire-sidecar:latest",
			ImagePullPolicy: "IfNotPresent",
			Resources:       injection.Resources{CPURequest: "10m", CPULimit: "200m", MemoryRequest: "32Mi", MemoryLimit: "64Mi"},
		},
	}
}

// consequence is what becomes of a mistake in a pod, at the end of a reason.
var consequence = regexp.MustCompile(`; (?:it is ignored|\S+ is used|logs are counted as dropped)$`)

// refused says what is wrong with a setting of the configuration file, without what becomes of
// the same mistake in a pod: a file with a mistake is not used.
func refused(r validate.Refusal) string {
	r.Ignored, r.Instead = false, ""
	problem, _, _ := strings.Cut(r.Reason(), "; until ")
	return r.Setting + ": " + consequence.ReplaceAllString(problem, "")
}

// Validate returns an error that lists every mistake with the path of its key.
func (c Config) Validate() error {
	var mistakes []error
	wrong := func(path, format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf(path+": "+format, args...))
	}
	if _, err := c.nativeSidecar(); err != nil {
		wrong("kubernetesVersion", "%w", err)
	}
	defaults, bad := injection.ParseRequest(defaultRequest(c), injection.Layer{Source: "default", Annotations: c.Defaults})
	for _, refusal := range bad {
		wrong("defaults", "%s", refused(refusal))
	}
	if c.Sidecar.Image == "" || strings.ContainsAny(c.Sidecar.Image, " \t\n") {
		wrong("sidecar.image", "%q is not an image reference", c.Sidecar.Image)
	}
	if !slices.Contains([]string{"Always", "IfNotPresent", "Never"}, c.Sidecar.ImagePullPolicy) {
		wrong("sidecar.imagePullPolicy", "%q: use Always, IfNotPresent or Never", c.Sidecar.ImagePullPolicy)
	}
	if err := c.Sidecar.Resources.Validate(); err != nil {
		wrong("sidecar.resources", "%w", err)
	}
	if err := c.AllowedOverrides.Validate(); err != nil {
		wrong("allowedOverrides", "%w", err)
	} else if err := c.AllowedOverrides.SidecarMaximum.Check(defaults.Sidecar); err != nil {
		wrong("allowedOverrides.sidecarMaximum", "%w: the sidecar's own resources have to be within it", err)
	}
	for _, env := range []map[string]string{c.Sidecar.Env, c.Sidecar.SecretEnv} {
		if _, ok := env[sidecarapi.EnvRedact]; ok {
			wrong("sidecar", "%s: write the rules as %s in the defaults, where those of namespaces and pods are added", sidecarapi.EnvRedact, injection.AnnotationRedact)
		}
	}
	if c.Sidecar.Configured() {
		for _, m := range sidecarapi.CheckVariables(c.Sidecar.Env, slices.Sorted(maps.Keys(c.Sidecar.SecretEnv))) {
			wrong("sidecar.env", "%s", refused(m))
		}
	}
	for name, ref := range c.Sidecar.SecretEnv {
		if secret, key, ok := strings.Cut(ref, "/"); !ok || secret == "" || key == "" {
			wrong("sidecar.secretEnv."+name, "%q: use the Secret's name/key", ref)
		}
	}
	for path, endpoint := range map[string]string{"gateway.grpcEndpoint": c.Gateway.GRPCEndpoint, "gateway.httpEndpoint": c.Gateway.HTTPEndpoint} {
		if u, err := url.Parse(endpoint); endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			wrong(path, "%q: use an http or https URL", endpoint)
		}
	}
	right := len(mistakes) == 0 // otherwise each namespace would repeat the mistakes
	for name := range c.Namespaces {
		if !isNamespaceName(name) {
			wrong("namespaces", "%q is not the name of a namespace", name)
		} else if err := c.in(name).Validate(); err != nil && right {
			wrong("namespaces."+name, "%w", err)
		}
	}
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(mistakes...)
}

// nativeSidecar reports whether the cluster supports init containers with
// restartPolicy Always: the feature SidecarContainers is on by default since
// Kubernetes 1.29.
func (c Config) nativeSidecar() (bool, error) {
	minor, err := c.KubernetesMinor()
	return minor >= 29, err
}

// KubernetesMinor returns the minor version of Kubernetes 1.
func (c Config) KubernetesMinor() (int, error) {
	major, minor, ok := strings.Cut(strings.TrimPrefix(c.KubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	m, err := strconv.Atoi(strings.TrimSuffix(minor, "+"))
	if !ok || err != nil || major != "1" {
		return 0, fmt.Errorf("%q: use a version such as 1.37", c.KubernetesVersion)
	}
	return m, nil
}

// hash returns the hash that identifies the configuration in the status annotation.
// What differs in single namespaces is not part of it, so that a change there makes
// only their pods stale.
func (c Config) hash() string {
	c.Namespaces = nil
	text, err := json.Marshal(struct {
		Revision int
		Config   Config
	}{revision, c})
	if err != nil {
		panic("a configuration of strings is always JSON: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

func defaultRequest(c Config) injection.Request {
	return injection.Request{
		Collector:     injection.CollectorSidecar,
		Protocol:      sidecarapi.ProtocolGRPC,
		TraceSampling: "1",
		Logs:          true,
		Metrics:       true,
		MetricsPath:   "/metrics",
		MetricsScheme: "http",
		SpanMetrics:   c.Sidecar.Env[sidecarapi.EnvSpanMetrics] == "true",
		Sidecar:       c.Sidecar.Resources,
	}
}
