package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFormatLogLine(t *testing.T) {
	cases := map[string]string{
		`{"time":"2026-11-23T01:00:02.5Z","level":"INFO","msg":"backup committed","database":"nova_auth","bytes":7}`: "01:00:02 INFO backup committed database=nova_auth bytes=7",
		`{"time":"2026-11-23T01:00:02.5Z","level":"INFO","msg":`:                                                     `{"time":"2026-11-23T01:00:02.5Z","level":"INFO","msg":`,
		"DATABASE  BACKUP": "DATABASE  BACKUP",
		`{"_aws":{}}`:      `{"_aws":{}}`,
	}
	for line, want := range cases {
		if diff := cmp.Diff(want, formatLogLine(line)); diff != "" {
			t.Error(diff)
		}
	}
}
