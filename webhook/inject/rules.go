package inject

import (
	"maps"
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
)

// ByPolicy in [Status.By] says that the pod was wired by the MutatingAdmissionPolicy that
// novawire policy prints, not by the webhook.
const ByPolicy = "policy"

// Rules are the engine's rules as data, for a program that expresses them in another language.
type Rules struct {
	ForeignNames       []string // of containers that are not part of the app
	CollectorNames     []string // of containers and images that are collectors
	OTLPServers        []string // ends of image repositories that listen on OTLP's ports
	MeshProxies        []string // native sidecars that the sidecar starts after
	KnownVariables     []string // in the order in which they are written
	IdentityFields     []string // fields of the downward API, of the first variables
	MetricsPortNames   []string // the most likely first
	IstioMetricsPath   string
	UIDRangeAnnotation string

	// Regular expressions of settings that listen on a port, which is their group.
	LoopbackAddress, AnyAddress, ListenSetting, RemoteAddress, PortFlag string
}

// Rules returns the rules, with the names that the configuration adds.
func (e *Engine) Rules() Rules {
	return Rules{
		ForeignNames:       slices.Sorted(maps.Keys(e.foreign)),
		CollectorNames:     slices.Clone(collectors),
		OTLPServers:        slices.Clone(otlpServers),
		MeshProxies:        slices.Clone(meshProxies),
		KnownVariables:     slices.Clone(variableNames[:]),
		IdentityFields:     slices.Clone(identityFields[:]),
		MetricsPortNames:   slices.Clone(metricsPortNames[:]),
		IstioMetricsPath:   istioMetricsPath,
		UIDRangeAnnotation: uidRangeAnnotation,
		LoopbackAddress:    loopbackAddress.String(),
		AnyAddress:         anyAddress.String(),
		ListenSetting:      listenSetting.String(),
		RemoteAddress:      remoteAddress.String(),
		PortFlag:           portFlag.String(),
	}
}

// Defaults returns the request of a pod without annotations in a namespace without any.
func (e *Engine) Defaults() injection.Request { return e.defaults }

// Native reports whether the sidecar is an init container that keeps running.
func (e *Engine) Native() bool { return e.native }

// Config returns the configuration.
func (e *Engine) Config() Config { return e.config }

// Namespaces returns the engines of the namespaces that have a configuration of their own.
func (e *Engine) Namespaces() map[string]*Engine { return maps.Clone(e.others) }

// Sidecar returns the JSON of the sidecar in a pod with one container and no settings of its
// own, in a namespace whose platform assigns no users.
func (e *Engine) Sidecar() []byte {
	p := pod{Metadata: &emptyMetadata, Spec: spec{Containers: []container{{}}}}
	return newWiring(e, &p, Namespace{}, ownerOf(p.Metadata)).appendSidecar(nil)
}

// UnsupportedByPolicy returns what the policy could not do with a pod that it left alone, and
// whether it left it alone.
func UnsupportedByPolicy(annotations map[string]string) (features string, left bool) {
	s, _ := readStatus(annotations)
	return strings.Join(s.Unsupported, ", "), s.By == ByPolicy && s.Config == "" && len(s.Unsupported) > 0
}
