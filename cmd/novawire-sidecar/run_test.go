package main

import (
	"strings"
	"testing"
)

func TestRun_WrongUsage(t *testing.T) {
	for want, args := range map[string][]string{
		`"print-confg" is not a command; did you mean print-config?`:                      {"print-confg"},
		`"--verbose-output" is not a command; use one of print-config, --version, --help`: {"--verbose-output"},
		`it takes one argument at most, got ["print-config" "now"]`:                       {"print-config", "now"},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), args, func(string) (string, bool) { return "", false }, &stdout, &stderr)
		if code != exitUsage || stderr.String() != "novawire-sidecar: "+want+"\n" || stdout.String() != "" {
			t.Errorf("%q: exit %d: %s%s", args, code, stdout.String(), stderr.String())
		}
	}
}
