package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/workload"
)

func TestAuditNames(t *testing.T) {
	pod := func(namespace, service, kind, name string) surveyedPod {
		return surveyedPod{namespace: namespace, service: service, owner: workload.Owner{Kind: kind, Name: name}}
	}
	got := auditNames([]surveyedPod{
		pod("nova", "feed", "Deployment", "feed"), pod("nova", "feed", "Deployment", "feed"), // two pods of one
		pod("other", "feed", "Deployment", "feed"), // another namespace
		pod("nova", "auth", "Deployment", "auth-blue"), pod("nova", "auth", "Deployment", "auth-green"),
		pod("nova", "import-20261125", "Job", "import-20261125"), pod("nova", "import-20261126", "Job", "import-20261126"),
		pod("nova", "", "Deployment", "skipped"), pod("nova", "", "Deployment", "skipped-too"),
	})
	want := []nameProblem{
		{Namespace: "nova", Service: "auth", Workloads: []string{"Deployment auth-blue", "Deployment auth-green"}},
		{Namespace: "nova", Service: "import-20261125", Workloads: []string{"Job import-20261125"}, Suffix: "20261125"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	const fix = `kubectl -n nova patch deployment auth-green -p '{"spec":{"template":{"metadata":{"annotations":{"inject.nova.dev/service-name":"auth-green"}}}}}'`
	if got[0].fix("kubectl") != fix {
		t.Error(got[0].fix("kubectl"))
	}
}
