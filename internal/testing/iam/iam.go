// Package iam evaluates the IAM policies of infra/terraform for calls that tests record. It
// knows what these policies use: statements that allow, actions without wildcards, resources
// with *, and the conditions StringEquals and StringLike.
package iam

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The names for which [Role] renders policies.
const (
	Bucket         = "nova-backups"
	Prefix         = "prod"
	Key            = "arn:aws:kms:eu-central-1:111122223333:key/backups"
	LogGroupPrefix = "/nova/"
)

// Call is one use of an action: by a request of a program, or by a service on its behalf.
type Call struct {
	Action, Resource string
	Context          string // KEY=VALUE of a condition key, or ""
}

// Policy is the policy of a role.
type Policy []statement

type statement struct {
	Effect    string
	Action    []string
	Resource  string
	Condition map[string]map[string]any
}

// Role reads the policies of the files (read, write, prune, logs, xray) that make up a role.
func Role(t testing.TB, files ...string) (p Policy) {
	t.Helper()
	names := strings.NewReplacer("${bucket}", Bucket, "${bucket_prefix}", Prefix, "${kms_key_arn}", Key, "${log_group_prefix}", LogGroupPrefix)
	_, here, _, _ := runtime.Caller(0)
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../../infra/terraform/modules/roles/policies", file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var statements Policy
		if err := json.Unmarshal([]byte(names.Replace(string(text))), &statements); err != nil {
			t.Fatalf("policy %s: %v", file, err)
		}
		p = append(p, statements...)
	}
	for _, s := range p {
		if s.Effect != "Allow" {
			t.Fatalf("effect %q is not known here", s.Effect)
		}
	}
	return p
}

// Allows reports whether the policy allows a call.
func (p Policy) Allows(c Call) bool {
	return slices.ContainsFunc(p, func(s statement) bool { return s.allows(c) })
}

func (s statement) allows(c Call) bool {
	if !slices.Contains(s.Action, c.Action) || !like(s.Resource, c.Resource) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			name, value, _ := strings.Cut(c.Context, "=")
			if name != key || !slices.ContainsFunc(list(values), func(v string) bool { return compare(operator, v, value) }) {
				return false
			}
		}
	}
	return true
}

func compare(operator, pattern, value string) bool {
	switch operator {
	case "StringEquals":
		return pattern == value
	case "StringLike":
		return like(pattern, value)
	}
	panic(fmt.Sprintf("iam: condition %s is not known here", operator))
}

// like matches as IAM does: * stands for any characters, slashes too.
func like(pattern, value string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == value
	}
	after, ok := strings.CutPrefix(value, first)
	if !ok {
		return false
	}
	for i := range len(after) + 1 {
		if like(rest, after[i:]) {
			return true
		}
	}
	return false
}

func list(values any) (all []string) {
	switch v := values.(type) {
	case string:
		return []string{v}
	case []any:
		for _, value := range v {
			all = append(all, fmt.Sprint(value))
		}
	}
	return all
}

// Check fails the test for each recorded call that the policy refuses, and for each of its
// actions that no call used.
func (p Policy) Check(t testing.TB, calls []Call) {
	t.Helper()
	used := map[string]bool{}
	for _, c := range calls {
		used[c.Action] = true
		if !p.Allows(c) {
			t.Errorf("the policy refuses %+v", c)
		}
	}
	for _, s := range p {
		for _, action := range s.Action {
			if !used[action] {
				t.Errorf("the policy allows %s, and no call needs it", action)
			}
		}
	}
}

// Outside returns the call on a neighbour of its resource, which no policy may allow: another
// prefix of the bucket, another log group, another key, another metric namespace. ok is false
// where the service knows no resource.
func (c Call) Outside() (_ Call, ok bool) {
	service, _, _ := strings.Cut(c.Action, ":")
	switch {
	case c.Context != "":
		key, value, _ := strings.Cut(c.Context, "=")
		c.Context = key + "=" + path.Join("other", value)
	case service == "s3" && strings.Contains(c.Resource, "/"):
		c.Resource = strings.Replace(c.Resource, "/"+Prefix+"/", "/"+Prefix+"-other/", 1)
	case service == "s3" || service == "kms":
		c.Resource += "-other"
	case service == "logs":
		c.Resource = strings.Replace(c.Resource, LogGroupPrefix, "/other"+LogGroupPrefix, 1)
	default:
		return c, false
	}
	return c, true
}
