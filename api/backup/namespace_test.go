package backup

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseServiceAccountAnnotations(t *testing.T) {
	const role = "eks.amazonaws.com/role-arn"
	for value, want := range map[string]map[string]string{
		role + "=arn:aws:iam::111122223333:role/team-a":                         {role: "arn:aws:iam::111122223333:role/team-a"},
		role + "=arn:aws:iam::1:role/a, eks.amazonaws.com/audience=sts=x":       {role: "arn:aws:iam::1:role/a", "eks.amazonaws.com/audience": "sts=x"},
		"iam.gke.io/gcp-service-account=backup@project.iam.gserviceaccount.com": {"iam.gke.io/gcp-service-account": "backup@project.iam.gserviceaccount.com"},
		"":                    nil,
		"arn:aws:iam::1:role": nil,
		role + "=a,":          nil,
		"/x=a":                nil,
		"a b=c":               nil,
		"Example.org/x=a":     nil,
		"example.org/x/y=a":   nil,
		"example.org/-x=a":    nil,
	} {
		got, refusals := Policy{}.ParseServiceAccountAnnotations(map[string]string{AnnotationServiceAccountAnnotations: value})
		if diff := cmp.Diff(want, got); diff != "" || (want == nil) != (len(refusals) == 1) {
			t.Errorf("%q: %v\n%s", value, refusals, diff)
		}
	}
	if got, refusals := (Policy{}).ParseServiceAccountAnnotations(nil); got != nil || refusals != nil {
		t.Errorf("no annotation: %v, %v", got, refusals)
	}
}
