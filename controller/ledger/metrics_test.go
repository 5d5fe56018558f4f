package ledger

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"

	ledgerapi "github.com/nova/novawire/api/ledger"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// However many services there are, the series are bounded, and nothing is missing from
// their sum. A service keeps its series when another one appears before it.
func TestMetrics_Bounded(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	report := func(names ...string) (all []ledgerapi.Service) {
		for _, name := range names {
			e := ledgerapi.Entry{Accepted: 2, Exported: 1, Dropped: map[string]int64{"rejected": 1}}
			all = append(all, ledgerapi.Service{Namespace: "nova", Name: name, Signals: map[string]ledgerapi.Entry{ledgerapi.Logs: e}, UnknownRuns: 1})
		}
		return all
	}
	var names []string
	for i := range maxServices {
		names = append(names, fmt.Sprintf("service-%03d", i))
	}
	m.set(report(names...))
	m.set(report(append([]string{"a-new-one", "another"}, names...)...))
	if n := testutil.CollectAndCount(m, "novawire_telemetry_unknown_runs_total"); n != maxServices+1 {
		t.Errorf("%d services have series", n)
	}
	for _, s := range m.services {
		want := int64(2)
		if s.Name == ledgerapi.Other {
			want = 4
		}
		if got := s.Signals[ledgerapi.Logs].Accepted; got != want {
			t.Errorf("%s accepted %d, want %d", s.Name, got, want)
		}
	}
	m.Reset()
	if n := testutil.CollectAndCount(m); n != 0 {
		t.Errorf("%d series after the end of the leadership", n)
	}
}

// A tenant chooses the names of its services: none of them makes /metrics fail.
func TestMetrics_Names(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: sidecarapi.ContainerName, Env: []corev1.EnvVar{
		{Name: sidecarapi.EnvResourceAttributes, Value: "service.name=a%ff"},
	}}}}}
	service := ledgerapi.Service{Namespace: "nova", Name: serviceOf(findSidecar(pod)), Signals: map[string]ledgerapi.Entry{ledgerapi.Logs: {Accepted: 1}}}
	stored := service
	stored.Name = "of an earlier version: \xff"
	m.set([]ledgerapi.Service{service, stored})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(families), `value:"invalid"`) {
		t.Errorf("the service has no series: %v", families)
	}
}
