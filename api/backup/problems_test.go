package backup

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nova/novawire/internal/validate"
)

// refusedValues are values of each key and what is wrong with each; "" where the allowed
// values are a list of words, which says enough, and where the value may be a secret.
var refusedValues = map[string]map[string]string{
	AnnotationEnabled:       {"yes": ""},
	AnnotationSchedule:      {"0 1 * *": "4 fields instead of 5", "60 1 * * *": `minute "60"`},
	AnnotationTimeZone:      {"": "it is empty", "Mars/Olympus": "no such name", "local": "it depends on the machine"},
	AnnotationRetentionDays: numbers(36500), AnnotationKeepMinimum: numbers(36500), AnnotationCopyRetentionDays: numbers(36500), AnnotationParallelism: numbers(16),
	AnnotationBucket: buckets, AnnotationCopyBucket: buckets,
	AnnotationDatabases: {
		"": "one of the names is empty", "a,,b": "one of the names is empty", `"a`: "a double quote is not closed", `"a"b`: "a comma is missing after a quoted name", "a\x00": "NUL",
	},
	AnnotationExcludeDatabases: {"": "one of the patterns is empty", "a.b": "2 parts with dots between them, more than 1", "a\n": "control character", `"a`: "a double quote is not closed"},
	AnnotationExcludeTableData: {"a.b.c": "3 parts with dots between them, more than 2", "a.": "beside a dot is empty"},
	AnnotationURLSecret: {
		"secret": "it names no key: a slash is missing", "s/user=u": "it names no key for the password", "s/password=p": "it names no key for the user",
		"s/user=u,password=p,x=y": `"x" is not user, password, host or port`, "s/user=u,user=v,password=p": "it names a part twice", "s/user=u,password=/": "the key: it contains '/'",
		"postgres://nova:hunter2@db/x": "",
	},
	AnnotationAWSSecret: names, AnnotationServiceAccount: names, AnnotationCopyAWSSecret: names,
	AnnotationAWSRegion: regions, AnnotationCopyAWSRegion: regions,
	AnnotationS3Endpoint: endpoints, AnnotationCopyS3Endpoint: endpoints,
	AnnotationDeadline:             {"": "it is empty", "90": "it has no unit", "1d": "units are h, m and s", "30s": "it is too short", "25h": "it is too long"},
	AnnotationEncryptionRecipients: secretKeys, AnnotationEncryptionIdentity: secretKeys, AnnotationSigningKey: secretKeys, AnnotationEvidenceKey: secretKeys, AnnotationVerifyKey: secretKeys,
	AnnotationDrillSchedule:     {"Never": "1 fields instead of 5"},
	AnnotationSuspend:           {"1": ""},
	AnnotationOnDelete:          {"orphan": ""},
	AnnotationClientImage:       {"": "it is empty", "postgres 17": "it contains a blank", strings.Repeat("a", 513): "513 characters, more than 512"},
	AnnotationRun:               {"": "it is empty", "drill:": "it is empty", "now!": "it contains '!'", strings.Repeat("a", 64): "64 characters, more than 63"},
	AnnotationUnprotectedReason: {"": "it is empty", "a\nb": "cannot be printed", strings.Repeat("a", 201): "201 bytes, more than 200"},
}

var (
	buckets = map[string]string{
		"s3://b/38": "the name of the bucket, b, is shorter than 3 characters", "s3:///x": "it names no bucket", "nova/x": "it does not begin with s3://", "gs://nova/x": "it does not begin with s3://",
		"s3://nova/a b": "it contains ' '", "s3://nova?x=y": "it contains '?'", "s3://" + strings.Repeat("b", 64): "64 characters, more than 63",
	}
	names = map[string]string{
		"": "it is empty", "Backup": "it contains 'B'", "-a": "a dash or a dot is at the begin", "a..b": "beside a dot", strings.Repeat("a", 254): "254 characters, more than 253",
	}
	regions   = map[string]string{"": "it is empty", "eu central": "it contains ' '", strings.Repeat("a", 41): "41 characters, more than 40"}
	endpoints = map[string]string{
		"": "it is empty", "s3.local:7070": "does not begin with http:// or https://", "http://": "it names no host", "http://s3:99999": "its port is not a number from 1 to 65535",
		"http://nova:hunter2@s3": "",
	}
	secretKeys = map[string]string{
		"": "it names no key: a slash is missing", "age": "it names no key: a slash is missing", "Age/key": "the name: it contains 'A'", "/key": "the name: it is empty",
		"age/": "the key: it is empty", "age/a b": "the key: it contains ' '",
	}
)

func numbers(maximum int) map[string]string {
	m := map[string]string{"": "it is empty", "+3": "it is not a whole number", "0": "it is less than 1"}
	if maximum == 16 {
		m["17"] = "it is more than 16"
	} else {
		m["36501"], m["99999999999999999999"] = "it is more than 36500", "it is more than 36500"
	}
	return m
}

func TestParseRequest_Problems(t *testing.T) {
	for _, rule := range requestRules {
		values := refusedValues[rule.key]
		if len(values) == 0 {
			t.Errorf("%s: no refused value", rule.key)
		}
		for _, value := range slices.Sorted(maps.Keys(values)) {
			t.Run(strings.TrimPrefix(rule.key, AnnotationPrefix)+": "+validate.Redact(value), func(t *testing.T) {
				_, refusals := ParseRequest(DefaultRequest(), map[string]string{rule.key: value})
				if len(refusals) != 1 {
					t.Fatalf("%d refusals", len(refusals))
				}
				problem, want := refusals[0].Problem, values[value]
				if want == "" && problem != "" || want != "" && !strings.Contains(problem, want) {
					t.Errorf("problem %q, want %q", problem, want)
				}
				if text := refusals[0].Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "\n") {
					t.Errorf("a secret or a second line: %s", text)
				}
			})
		}
	}
}

// A variable of pg-backup is refused for the reason that its annotation is.
func TestVariable_Problems(t *testing.T) {
	for _, v := range Environment() {
		if v.Name != EnvS3Bucket && v.Name != EnvDatabaseURL && v.Name != EnvObjectLock {
			continue
		}
		value, want := "s3://b/38", "shorter than 3 characters"
		switch v.Name {
		case EnvDatabaseURL:
			value, want = "mysql://nova:hunter2@db", "(hidden)"
		case EnvObjectLock:
			value, want = "governance:0", "the days: it is less than 1"
		}
		if err := v.Check(value); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", v.Name, err, want)
		}
	}
}
