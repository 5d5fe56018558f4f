package backup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPolicy_ParseRequest(t *testing.T) {
	for name, c := range map[string]struct {
		policy      Policy
		annotations map[string]string
		retention   int
		refused     []string // "setting: part of the reason"
	}{
		"nothing is limited by default":  {Policy{}, map[string]string{AnnotationRetentionDays: "30"}, 30, nil},
		"what is listed may be set":      {Policy{Object: []string{AnnotationRetentionDays}}, map[string]string{AnnotationRetentionDays: "30"}, 30, nil},
		"what is not listed is refused":  {Policy{Object: []string{AnnotationSchedule, AnnotationDatabases}}, map[string]string{AnnotationRetentionDays: "30"}, 7, []string{"backup.nova.dev/retention-days: the platform does not let the object set it; it may set schedule, databases"}},
		"an empty list allows nothing":   {Policy{Object: []string{}}, map[string]string{AnnotationBucket: "s3://mine/x", AnnotationSuspend: "true"}, 7, []string{"backup.nova.dev/bucket: does not let the object set it", "backup.nova.dev/suspend: "}},
		"whether is always the owner's":  {Policy{Object: []string{}}, map[string]string{AnnotationEnabled: "true", AnnotationRun: "1", AnnotationUnprotectedReason: "a cache", AnnotationStatus: "{}"}, 7, nil},
		"the value is not checked":       {Policy{Object: []string{}}, map[string]string{AnnotationRetentionDays: "x"}, 7, []string{"backup.nova.dev/retention-days: the platform does not"}},
		"an unknown key stays a mistake": {Policy{Object: []string{}}, map[string]string{"backup.nova.dev/bucked": "x"}, 7, []string{"backup.nova.dev/bucked: use backup.nova.dev/bucket"}},
	} {
		t.Run(name, func(t *testing.T) {
			defaults := DefaultRequest()
			defaults.Policy = c.policy
			got, refusals := ParseRequest(defaults, c.annotations)
			if got.RetentionDays != c.retention || got.Bucket != "" || got.Suspend {
				t.Errorf("retention %d, bucket %q, suspend %t", got.RetentionDays, got.Bucket, got.Suspend)
			}
			if len(refusals) != len(c.refused) {
				t.Fatalf("refused %v, want %q", refusals, c.refused)
			}
			for i, want := range c.refused {
				setting, reason, _ := strings.Cut(want, ": ")
				if refusals[i].Setting != setting || !strings.Contains(refusals[i].Error(), reason) {
					t.Errorf("refused %q, want %q", refusals[i], want)
				}
			}
		})
	}
}

func TestPolicy_ParseServiceAccountAnnotations(t *testing.T) {
	const role = "eks.amazonaws.com/role-arn"
	annotations := map[string]string{AnnotationServiceAccountAnnotations: role + "=arn:aws:iam::1:role/a"}
	got, refusals := Policy{Namespace: []string{AnnotationServiceAccountAnnotations}}.ParseServiceAccountAnnotations(annotations)
	if diff := cmp.Diff(map[string]string{role: "arn:aws:iam::1:role/a"}, got); diff != "" || len(refusals) > 0 {
		t.Errorf("a listed one: %v\n%s", refusals, diff)
	}
	got, refusals = Policy{Namespace: []string{}}.ParseServiceAccountAnnotations(annotations)
	if got != nil || len(refusals) != 1 || !strings.Contains(refusals[0].Error(), "does not let a namespace set it") {
		t.Errorf("one that is not listed: %v, %v", got, refusals)
	}
	if _, refusals = (Policy{Namespace: []string{}}).ParseServiceAccountAnnotations(nil); refusals != nil {
		t.Errorf("none: %v", refusals)
	}
}

func TestPolicy_Validate(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		want   string
	}{
		"nothing":                       {Policy{}, ""},
		"every annotation of an object": {Policy{Object: []string{AnnotationEnabled, AnnotationBucket, AnnotationRun, AnnotationCopyBucket}}, ""},
		"that of a Namespace":           {Policy{Namespace: []string{AnnotationServiceAccountAnnotations}}, ""},
		"a misspelt one":                {Policy{Object: []string{"backup.nova.dev/shedule"}}, "did you mean backup.nova.dev/schedule?"},
		"one of another object":         {Policy{Namespace: []string{AnnotationBucket}}, `namespace: "backup.nova.dev/bucket" is not an annotation that it may set`},
		"a label":                       {Policy{Namespace: []string{LabelNamespace}}, "namespace: "},
		"one that we write":             {Policy{Object: []string{AnnotationStatus}}, "object: "},
	} {
		err := c.policy.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
