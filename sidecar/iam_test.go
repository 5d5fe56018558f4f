package sidecar_test

import (
	"os/exec"
	"regexp"
	"testing"

	"github.com/nova/novawire/internal/testing/iam"
)

// TestIAM compares the endpoints that the backend xray has with the policy of the role xray.
// Spans need three actions, as in AWS' policy for writers of X-Ray.
func TestIAM(t *testing.T) {
	t.Parallel()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	const group = iam.LogGroupPrefix + "nova/feed"
	cmd := exec.Command(path, "print-config")
	cmd.Env = []string{"NOVAWIRE_BACKEND=xray", "NOVAWIRE_AWS_REGION=eu-west-1", "NOVAWIRE_LOG_GROUP=" + group, "NOVAWIRE_LOG_STREAM=a"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	needs := map[string][]iam.Call{
		"https://xray.eu-west-1.amazonaws.com/v1/traces":        {{Action: "xray:PutTraceSegments", Resource: "*"}, {Action: "xray:PutSpans", Resource: "*"}, {Action: "xray:PutSpansForIndexing", Resource: "*"}},
		"https://monitoring.eu-west-1.amazonaws.com/v1/metrics": {{Action: "cloudwatch:PutMetricData", Resource: "*"}},
		"https://logs.eu-west-1.amazonaws.com/v1/logs":          {{Action: "logs:PutLogEvents", Resource: "arn:aws:logs:eu-west-1:111122223333:log-group:" + group + ":log-stream:a"}},
	}
	var calls []iam.Call
	for _, m := range regexp.MustCompile(`url: (\S+)`).FindAllStringSubmatch(string(out), -1) {
		if needs[m[1]] == nil {
			t.Errorf("it is not known what %s needs", m[1])
		}
		calls = append(calls, needs[m[1]]...)
	}
	policy := iam.Role(t, "xray")
	policy.Check(t, calls)
	for _, c := range calls {
		if other, ok := c.Outside(); ok && policy.Allows(other) {
			t.Errorf("the policy allows %+v, which is outside", other)
		}
	}
}
