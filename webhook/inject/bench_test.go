package inject

import (
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/nova/novawire/internal/testing/admissionbaseline"
	"github.com/nova/novawire/internal/testing/bench"
	"github.com/nova/novawire/internal/testing/samplepod"
)

func BenchmarkSmall(b *testing.B) { compare(b, "inject/small", samplepod.Small()) }
func BenchmarkManyContainers(b *testing.B) {
	compare(b, "inject/many-containers", samplepod.ManyContainers())
}

func BenchmarkThousandVariables(b *testing.B) {
	compare(b, "inject/thousand-variables", samplepod.ThousandVariables())
}

// BenchmarkSmallAllocs compares allocations, which do not depend on the load of the machine.
func BenchmarkSmallAllocs(b *testing.B) {
	bench.Skip(b, "inject/small-allocs")
	ours, peer := sides(b, samplepod.Small())
	o, p := testing.AllocsPerRun(200, ours), testing.AllocsPerRun(200, peer)
	bench.Line("inject/small-allocs", fmt.Sprint(o), fmt.Sprint(p), p/o)
}

func compare(b *testing.B, name string, raw []byte) {
	bench.Skip(b, name)
	ours, peer := sides(b, raw)
	bench.Compare(b, name, ours, peer)
}

// sides returns two functions that do the same to the same pod: the engine, and the
// baseline that decodes, changes and re-marshals it.
func sides(b *testing.B, raw []byte) (ours, peer func()) {
	b.Helper()
	config := DefaultConfig()
	config.ClusterName, config.DeploymentEnvironment = "nova-prod", "production"
	engine, err := New(config)
	if err != nil {
		b.Fatal(err)
	}
	ns := Namespace{Name: "nova"}
	result, err := engine.Pod(raw, ns)
	if err != nil {
		b.Fatal(err)
	}
	var wired corev1.Pod
	if err := json.Unmarshal(apply(b, raw, result.Patch), &wired); err != nil {
		b.Fatal(err)
	}
	change := admissionbaseline.Change(&wired)
	if n := len(admissionbaseline.Respond(raw, change).Patches); n == 0 {
		b.Fatal("the baseline changes nothing")
	}
	return func() { _, _ = engine.Pod(raw, ns) }, func() { admissionbaseline.Respond(raw, change) }
}
