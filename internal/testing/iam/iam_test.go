package iam

import "testing"

func TestPolicy(t *testing.T) {
	p := Policy{
		{Effect: "Allow", Action: []string{"s3:GetObject"}, Resource: "arn:aws:s3:::b/prod/*"},
		{Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: "arn:aws:s3:::b", Condition: map[string]map[string]any{"StringLike": {"s3:prefix": []any{"prod/*"}}}},
		{Effect: "Allow", Action: []string{"cloudwatch:PutMetricData"}, Resource: "*", Condition: map[string]map[string]any{"StringEquals": {"cloudwatch:namespace": "Nova"}}},
	}
	for _, c := range []struct {
		name string
		call Call
		want bool
	}{
		{"allows an object of the prefix", Call{"s3:GetObject", "arn:aws:s3:::b/prod/a/b", ""}, true},
		{"refuses an object of a longer prefix", Call{"s3:GetObject", "arn:aws:s3:::b/production/a", ""}, false},
		{"refuses another action", Call{"s3:PutObject", "arn:aws:s3:::b/prod/a", ""}, false},
		{"allows a list of the prefix", Call{"s3:ListBucket", "arn:aws:s3:::b", "s3:prefix=prod/a/"}, true},
		{"refuses a list of everything", Call{"s3:ListBucket", "arn:aws:s3:::b", "s3:prefix="}, false},
		{"refuses a list without the key", Call{"s3:ListBucket", "arn:aws:s3:::b", ""}, false},
		{"allows the namespace", Call{"cloudwatch:PutMetricData", "*", "cloudwatch:namespace=Nova"}, true},
		{"refuses another namespace", Call{"cloudwatch:PutMetricData", "*", "cloudwatch:namespace=Nova2"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := p.Allows(c.call); got != c.want {
				t.Errorf("Allows(%+v) = %t", c.call, got)
			}
		})
	}
}
