package main

import (
	"encoding/json"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/nova/novawire/webhook/inject"
)

const verifiedTemplate = `{"metadata":{"name":"a","namespace":"nova"},"spec":{"containers":[{"name":"app","image":"app"}]}}`

// What the API server adds to the sidecar is expected, and nothing else.
func TestVerifyPod(t *testing.T) {
	engine, err := inject.New(inject.DefaultConfig())
	must(t, err)
	ns := inject.Namespace{Name: "nova"}
	result, err := engine.Pod([]byte(verifiedTemplate), ns)
	must(t, err)
	patch, err := jsonpatch.DecodePatch(result.Patch)
	must(t, err)
	wired, err := patch.Apply([]byte(verifiedTemplate))
	must(t, err)
	const (
		token     = `{"name":"kube-api-access-x7k2p","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}`
		projected = `{"name":"kube-api-access-x7k2p","projected":{}}`
		hostPath  = `{"name":"kube-api-access-x7k2p","hostPath":{"path":"/"}}`
		other     = `{"name":"other","mountPath":"/novawire-collector"}`
	)
	for name, c := range map[string]struct {
		sidecar, volumes string
		by               string
		field            string // that differs
	}{
		"nothing":                                {},
		"what every container gets":              {sidecar: `"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","volumeMounts":[` + token + `]`, volumes: projected},
		"a mount":                                {sidecar: `"volumeMounts":[` + other + `]`, field: "volumeMounts"},
		"a mount beside the token":               {sidecar: `"volumeMounts":[` + token + `,` + other + `]`, volumes: projected, field: "volumeMounts"},
		"another mount in place of the token":    {sidecar: `"volumeMounts":[` + strings.Replace(token, "/var/run/secrets", "/elsewhere", 1) + `]`, volumes: projected, field: "volumeMounts"},
		"another volume in place of the token":   {sidecar: `"volumeMounts":[` + token + `]`, volumes: hostPath, field: "volumeMounts"},
		"another file of the last message":       {sidecar: `"terminationMessagePath":"/proc/self/environ"`, field: "terminationMessagePath"},
		"a lifecycle":                            {sidecar: `"lifecycle":{}`, field: "lifecycle"},
		"a decision of the policy":               {by: inject.ByPolicy},
		"a decision of nobody who is known":      {by: "me", field: "inject.nova.dev/status"},
		"a policy, and a mount of the sidecar's": {by: inject.ByPolicy, sidecar: `"volumeMounts":[` + other + `]`, field: "volumeMounts"},
	} {
		t.Run(name, func(t *testing.T) {
			var pod document
			must(t, json.Unmarshal(wired, &pod))
			if c.sidecar != "" {
				must(t, json.Unmarshal([]byte("{"+c.sidecar+"}"), new(pod.containers("initContainers")[0])))
			}
			if c.volumes != "" {
				var volumes []any
				must(t, json.Unmarshal([]byte("["+c.volumes+"]"), &volumes))
				pod.set(volumes, "spec", "volumes")
			}
			if status := pod.text("metadata", "annotations", "inject.nova.dev/status"); c.by != "" {
				pod.set(strings.Replace(status, `{`, `{"by":"`+c.by+`",`, 1), "metadata", "annotations", "inject.nova.dev/status")
			}
			raw, err := json.Marshal(pod)
			must(t, err)
			v, err := verifyPod(engine, raw, []byte(verifiedTemplate), ns)
			must(t, err)
			if c.field == "" && v.Verdict != verified || c.field != "" && (v.Verdict != podChanged || len(v.Differences) != 1 || !strings.Contains(v.Differences[0].Field, c.field)) {
				t.Errorf("%+v, want a difference in %q", v, c.field)
			}
		})
	}
}
