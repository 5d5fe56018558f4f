package fluentbit_test

import (
	"testing"
	"time"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/testing/fakelogs"
	"github.com/nova/novawire/internal/testing/iam"
)

// TestOutput_IAM compares the plugin's calls with the policy of Fluent Bit's role.
func TestOutput_IAM(t *testing.T) {
	s := startService(t, fakelogs.Options{})
	o := newOutput(t, s, map[string]string{"retention_days": "7"})
	chunk := append(lines("feed", time.Now(), "a"), chunks.V1(int(time.Now().Unix()), chunks.Map{{"log", "of no pod"}})...)
	if v := o.Flush(chunk, "systemd"); v != fluentbit.OK {
		t.Fatalf("result is %v", v)
	}
	var calls []iam.Call
	for operation := range s.AllCalls() {
		for _, e := range s.Stored() {
			resource := "arn:aws:logs:eu-west-1:111122223333:log-group:" + e.Group
			if operation == "PutLogEvents" || operation == "CreateLogStream" {
				resource += ":log-stream:" + e.Stream
			}
			calls = append(calls, iam.Call{Action: "logs:" + operation, Resource: resource})
		}
	}
	policy := iam.Role(t, "logs")
	policy.Check(t, calls)
	for _, c := range calls {
		if other, ok := c.Outside(); !ok || policy.Allows(other) {
			t.Errorf("the policy allows %+v, which is outside", other)
		}
	}
}
