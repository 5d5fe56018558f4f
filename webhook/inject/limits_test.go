package inject

import (
	"strings"
	"testing"

	"github.com/nova/novawire/api/injection"
)

const (
	exhausted        = "kind: ResourceQuota\nmetadata: {name: compute}\nspec: {hard: {requests.memory: 1Gi}}\nstatus: {hard: {requests.memory: 1Gi}, used: {requests.memory: 1Gi}}\n"
	smallMemory      = "kind: LimitRange\nspec: {limits: [{type: Container, max: {memory: 16Mi}}]}\n"
	anotherContainer = `[{"op":"add","path":"/spec/containers/-","value":{"name":"late","image":"late"}}]`
)

// The second review of a pod, after another webhook has changed it, holds on to what the
// first one decided: other pods can have taken or given room in between.
func TestEngine_Limits_Reinvocation(t *testing.T) {
	engine := engineWith(t, func(c *Config) { c.Gateway.GRPCEndpoint = "http://gateway:4317" })
	for name, c := range map[string]struct {
		first, second string
		collector     injection.Collector
		endpoint      string
	}{
		"the room is gone":             {"", exhausted, injection.CollectorSidecar, "http://127.0.0.1:4317"},
		"the room came":                {exhausted, "", injection.CollectorGateway, "http://gateway:4317"},
		"a maximum came":               {"", smallMemory, injection.CollectorSidecar, "http://127.0.0.1:4317"},
		"there is no room, both times": {exhausted, exhausted, injection.CollectorGateway, "http://gateway:4317"},
	} {
		t.Run(name, func(t *testing.T) {
			review := func(raw []byte, limits string) []byte {
				result, err := engine.Pod(raw, Namespace{Name: "nova", Limits: limitsOf(t, limits)})
				if err != nil {
					t.Fatal(err)
				}
				return apply(t, raw, result.Patch)
			}
			wired := review([]byte(bare), c.first)
			if again := review(wired, c.second); string(again) != string(wired) {
				t.Errorf("it is changed again: %s", again)
			}
			changed := review(apply(t, wired, []byte(anotherContainer)), c.second)
			if s := status(t, string(changed)); s.Collector != c.collector || len(s.Containers) != 2 {
				t.Errorf("status %+v, want the collector %s and two containers", s, c.collector)
			}
			if n := strings.Count(string(changed), `"value":"`+c.endpoint+`"`); n != 2 {
				t.Errorf("%d endpoints %s: %s", n, c.endpoint, changed)
			}
			if state, err := engine.State(changed, Namespace{Name: "nova"}); err != nil || state.PodState != injection.PodWired {
				t.Errorf("without limits it is %v, %v", state, err)
			}
		})
	}
}

func TestEngine_Limits_OfTheConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		resources injection.Resources
		pod       string
		limits    string
		want      string
	}{
		"a quota of limits, and no limits configured": {
			injection.Resources{CPURequest: "10m", MemoryRequest: "32Mi"},
			bare,
			"kind: ResourceQuota\nspec: {hard: {limits.cpu: 1, limits.memory: 1Gi}}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"a quota of requests, and nothing configured": {
			injection.Resources{},
			bare, "kind: ResourceQuota\nspec: {hard: {cpu: 1, memory: 1Gi}}\n",
			`"resources":{"limits":{},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"no quota, and no limit of CPU configured": {
			injection.Resources{CPURequest: "10m", MemoryRequest: "32Mi", MemoryLimit: "64Mi"},
			bare,
			"kind: LimitRange\nspec: {limits: [{type: Container, max: {memory: 48Mi}}]}\n",
			`"resources":{"limits":{"memory":"48Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"a default limit below the request, and no limit configured": {
			injection.Resources{CPURequest: "50m", MemoryRequest: "32Mi", MemoryLimit: "64Mi"},
			bare,
			"kind: LimitRange\nspec: {limits: [{type: Container, default: {cpu: 20m}}]}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"50m","memory":"32Mi"}}`,
		},
		"numbers in place of strings, as in a file": {
			DefaultConfig().Sidecar.Resources, bare, "kind: LimitRange\nspec: {limits: [{type: Container, min: {cpu: 0.02}, maxLimitRequestRatio: {cpu: 1.5}}]}\n",
			`"resources":{"limits":{"cpu":"30m","memory":"64Mi"},"requests":{"cpu":"20m","memory":"32Mi"}}`,
		},
		"the defaults of containers, in a template": {
			DefaultConfig().Sidecar.Resources, bare,
			"kind: LimitRange\nspec: {limits: [{type: Container, default: {memory: 50Mi}}, {type: Pod, max: {memory: 90Mi}}]}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"40Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"limits of volumes": {
			DefaultConfig().Sidecar.Resources, bare, "kind: LimitRange\nspec: {limits: [{type: PersistentVolumeClaim, max: {storage: 1Gi, memory: 1}}]}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"amounts that nobody can read": {
			DefaultConfig().Sidecar.Resources, bare, "kind: LimitRange\nspec: {limits: [{type: Container, max: {memory: much, cpu: null}}]}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"a container instead of a native sidecar": {
			DefaultConfig().Sidecar.Resources,
			`{"metadata":{"name":"a"},"spec":{"initContainers":[{"name":"i","image":"i","resources":{"limits":{"memory":"90Mi"}}}],"containers":[{"name":"app","image":"app","resources":{"limits":{"memory":"20Mi"}}}]}}`,
			"classic\n---\nkind: LimitRange\nspec: {limits: [{type: Pod, max: {memory: 90Mi}}]}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"a RuntimeClass, and a quota with room": {
			DefaultConfig().Sidecar.Resources, withOverhead, "kind: ResourceQuota\nspec: {hard: {memory: 288Mi, limits.memory: 1Gi}}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"a quota of BestEffort pods without room": {
			DefaultConfig().Sidecar.Resources, bare, "kind: ResourceQuota\nspec: {scopes: [BestEffort], hard: {pods: 0}}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
		"a pod that stays BestEffort": {
			injection.Resources{},
			bare, "kind: ResourceQuota\nspec: {scopes: [NotBestEffort], hard: {count/pods: 0}}\n",
			`"resources":{"limits":{},"requests":{}}`,
		},
		"a file's maximum of storage is its default": {
			DefaultConfig().Sidecar.Resources, bare, "kind: LimitRange\nspec: {limits: [{type: Container, max: {ephemeral-storage: 1Gi}}]}\n",
			`"resources":{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			classic := strings.HasPrefix(c.limits, "classic")
			engine := engineWith(t, func(config *Config) {
				config.Sidecar.Resources = c.resources
				if classic {
					config.KubernetesVersion = "1.28"
				}
			})
			limits := limitsOf(t, strings.TrimPrefix(c.limits, "classic\n---\n"))
			result, err := engine.Pod([]byte(c.pod), Namespace{Name: "nova", Limits: limits})
			if err != nil || !strings.Contains(string(result.Patch), c.want) {
				t.Errorf("%v, %s\nwant %s", err, result.Patch, c.want)
			}
		})
	}
}

const withOverhead = `{"metadata":{"name":"a"},"spec":{"overhead":{"memory":"160Mi"},"containers":[{"name":"app","image":"app","resources":{"requests":{"memory":"96Mi"}}}]}}`

// A sidecar for which there is no room, and the same decision when it is made again.
func TestEngine_Limits_Refused(t *testing.T) {
	engine := engineWith(t, func(*Config) {})
	for name, c := range map[string]struct{ pod, limits, note string }{
		"the RuntimeClass":                 {withOverhead, "kind: ResourceQuota\nspec: {hard: {memory: 287Mi}}\n", "resource-quota requests.memory"},
		"pods":                             {bare, "kind: ResourceQuota\nspec: {scopes: [NotBestEffort], hard: {pods: 0}}\n", "resource-quota pods"},
		"objects":                          {bare, "kind: ResourceQuota\nspec: {scopes: [NotBestEffort], hard: {count/pods: 0}}\n", "resource-quota pods"},
		"a quota of storage":               {bare, "kind: LimitRange\nspec: {limits: [{type: Container, default: {ephemeral-storage: 6}}]}\n---\nkind: ResourceQuota\nspec: {hard: {ephemeral-storage: 5}}\n", "resource-quota requests.ephemeral-storage"},
		"a maximum of the pod for storage": {bare, "kind: LimitRange\nspec: {limits: [{type: Container, default: {ephemeral-storage: 6}}, {type: Pod, max: {ephemeral-storage: 11}}]}\n", "limit-range ephemeral-storage"},
		"a ratio for storage, no default":  {bare, "kind: LimitRange\nspec: {limits: [{type: Container, maxLimitRequestRatio: {ephemeral-storage: 1}}]}\n", "limit-range ephemeral-storage"},
	} {
		t.Run(name, func(t *testing.T) {
			review := func(limits *Limits) Status {
				result, err := engine.Pod([]byte(c.pod), Namespace{Name: "nova", Limits: limits})
				if err != nil {
					t.Fatal(err)
				}
				return status(t, string(apply(t, []byte(c.pod), result.Patch)))
			}
			first := review(limitsOf(t, c.limits))
			if first.Collector != injection.CollectorNone || !strings.Contains(strings.Join(first.Notes, ";"), c.note) {
				t.Fatalf("%+v, want %s", first, c.note)
			}
			if c.note == "resource-quota requests.ephemeral-storage" {
				return // made again of the pod as it is, which has the default
			}
			if again := review(first.Replay(nil)); again.Collector != injection.CollectorNone || !strings.Contains(strings.Join(again.Notes, ";"), c.note) {
				t.Errorf("made again it is %+v, want %s", again, c.note)
			}
		})
	}
}

func TestStatus_Replay_UnknownSubject(t *testing.T) {
	now := &Limits{}
	s := Status{Notes: []string{string(RefusedByLimitRange) + " hugepages"}}
	if got := s.Replay(now); got != now {
		t.Errorf("the limits are %+v, want the present ones", got)
	}
}

func TestParseLimits(t *testing.T) {
	for name, objects := range map[string]map[string][]byte{
		"no objects":                      nil,
		"a LimitRange without limits":     {"LimitRange/a": []byte(`{"spec":{"limits":[]}}`)},
		"a quota of objects":              {"ResourceQuota/a": []byte(`{"spec":{"hard":{"pods":"3","requests.storage":"1Gi"}}}`)},
		"a LimitRange of other resources": {"LimitRange/a": []byte(`{"spec":{"limits":[{"type":"Container","max":{"hugepages-2Mi":"1Gi"}}]}}`)},
	} {
		if limits, err := ParseLimits(objects); err != nil || limits != nil {
			t.Errorf("%s: %+v, %v", name, limits, err)
		}
	}
	limits, err := ParseLimits(map[string][]byte{
		"LimitRange/bad":  []byte(`{"spec":[]}`),
		"LimitRange/good": []byte(`{"spec":{"limits":[{"type":"Container","max":{"cpu":"1"}}]}}`),
	})
	if err == nil || !strings.Contains(err.Error(), "LimitRange/bad") || limits == nil {
		t.Errorf("an object that cannot be read hides the others: %+v, %v", limits, err)
	}
}
