package inject

import (
	"maps"
	"strings"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/api/redaction"
)

// NamespaceConfig is what differs from the configuration in one namespace. What is
// absent stays as it is.
type NamespaceConfig struct {
	DeploymentEnvironment string `json:"deploymentEnvironment,omitempty"`
	// Defaults are merged into the defaults by key.
	Defaults map[string]string `json:"defaults,omitempty"`
	// AllowedOverrides replaces the whole section.
	AllowedOverrides *injection.Policy `json:"allowedOverrides,omitempty"`
	Sidecar          NamespaceSidecar  `json:"sidecar,omitzero"`
	// Gateway replaces the whole section.
	Gateway *Gateway `json:"gateway,omitempty"`
}

// NamespaceSidecar is what differs in the sidecars of a namespace.
type NamespaceSidecar struct {
	// Resources are merged by value.
	Resources injection.Resources `json:"resources,omitzero"`
	// Env and SecretEnv are merged by variable.
	Env       map[string]string `json:"env,omitempty"`
	SecretEnv map[string]string `json:"secretEnv,omitempty"`
}

// in returns the configuration of a namespace.
func (c Config) in(namespace string) Config {
	n := c.Namespaces[namespace]
	c.Namespaces = nil
	if n.DeploymentEnvironment != "" {
		c.DeploymentEnvironment = n.DeploymentEnvironment
	}
	if n.AllowedOverrides != nil {
		c.AllowedOverrides = *n.AllowedOverrides
	}
	if n.Gateway != nil {
		c.Gateway = *n.Gateway
	}
	rules := redaction.Join(c.Defaults[injection.AnnotationRedact], n.Defaults[injection.AnnotationRedact])
	if c.Defaults = merged(c.Defaults, n.Defaults); n.Defaults[injection.AnnotationRedact] != "" {
		c.Defaults[injection.AnnotationRedact] = rules // they add up
	}
	env, secretEnv := c.Sidecar.Env, c.Sidecar.SecretEnv
	c.Sidecar.Env = merged(without(env, n.Sidecar.SecretEnv), n.Sidecar.Env)
	c.Sidecar.SecretEnv = merged(without(secretEnv, n.Sidecar.Env), n.Sidecar.SecretEnv)
	for _, value := range []struct{ to, from *string }{
		{&c.Sidecar.Resources.CPURequest, &n.Sidecar.Resources.CPURequest},
		{&c.Sidecar.Resources.CPULimit, &n.Sidecar.Resources.CPULimit},
		{&c.Sidecar.Resources.MemoryRequest, &n.Sidecar.Resources.MemoryRequest},
		{&c.Sidecar.Resources.MemoryLimit, &n.Sidecar.Resources.MemoryLimit},
	} {
		if *value.from != "" {
			*value.to = *value.from
		}
	}
	return c
}

func merged(general, special map[string]string) map[string]string {
	if len(special) == 0 {
		return general
	}
	all := maps.Clone(general)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, special)
	return all
}

// without returns the general values that no special one replaces.
func without(general, special map[string]string) map[string]string {
	if len(special) == 0 {
		return general
	}
	rest := map[string]string{}
	for name, value := range general {
		if _, replaced := special[name]; !replaced {
			rest[name] = value
		}
	}
	return rest
}

// isNamespaceName reports whether a Namespace can have the name (RFC 1123 label).
func isNamespaceName(name string) bool {
	return name != "" && len(name) <= 63 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		!strings.HasPrefix(name, "-") && !strings.HasSuffix(name, "-")
}
