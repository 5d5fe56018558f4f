package configfile_test

import (
	"strings"
	"testing"

	"github.com/nova/novawire/fluentbit/configfile"
)

const valid = `
service:
  scheduler.cap: 60
  storage.path: /state
pipeline:
  inputs:
    - name: tail
      storage.type: filesystem
  outputs:
    - name: novawire
      match: '*'
      region: ${AWS_REGION}
      node: ${NODE_NAME}
      workers: 2
      retry_limit: no_limits
      net.keepalive: on
    - name: stdout
      anything: else
`

// A mistake in a rule of redaction is told, and is no error.
func TestWarnings(t *testing.T) {
	text := strings.Replace(valid, "node: ${NODE_NAME}", "redact: mask preset email; mask value s3cret(\n      redact_key: ${HASHES}", 1)
	if err := configfile.Check([]byte(text), func(string) string { return "" }); err != nil {
		t.Error(err)
	}
	got := strings.Join(configfile.Warnings([]byte(text), func(string) string { return "" }), "\n")
	if !strings.HasPrefix(got, "redact: rule 2 cannot be read: ") || strings.Contains(got, "s3cret") {
		t.Errorf("warnings are %q", got)
	}
	if got := configfile.Warnings([]byte(valid), func(string) string { return "" }); got != nil {
		t.Errorf("a configuration without rules has warnings: %q", got)
	}
}

func TestCheck(t *testing.T) {
	if err := configfile.Check([]byte(valid), func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ from, to, says string }{
		"a misspelt key":              {"node: ${NODE_NAME}", "nod: a", "nod: no such key: node is meant?"},
		"another misspelt key":        {"node: ${NODE_NAME}", "metrics_listn: ':1'", "metrics_listn: no such key: metrics_listen is meant?"},
		"a key of another plugin":     {"node: ${NODE_NAME}", "auto_create_group: on", "auto_create_group: no such key"},
		"a misspelt region":           {"${AWS_REGION}", "eu-wset-1", `region "eu-wset-1"`},
		"a value of the plugin":       {"node: ${NODE_NAME}", "retention_days: 6", "retention_days"},
		"a misspelt retry limit":      {"no_limits", "nolimits", `retry_limit "nolimits": use no_limits`},
		"no retry limit":              {"retry_limit: no_limits", "alias: a", `retry_limit "": use no_limits`},
		"workers that are no number":  {"workers: 2", "workers: two", `workers "two"`},
		"no workers":                  {"workers: 2", "workers: 0", `workers "0"`},
		"an output of another name":   {"name: novawire", "name: novawir", "no output has the name novawire"},
		"an input in memory":          {"storage.type: filesystem", "storage.type: memory", "use filesystem"},
		"an input that pauses":        {"storage.type: filesystem", "storage.type: filesystem\n      storage.pause_on_chunks_overlimit: on", "leave it off"},
		"a scheduler without a limit": {"scheduler.cap: 60", "flush: 1", "use at most 60"},
		"a folder that is not set":    {"storage.path: /state", "flush: 1", "service.storage.path"},
		"a file that is not YAML":     {"service:", "service: [", "read YAML"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := configfile.Check([]byte(strings.Replace(valid, c.from, c.to, 1)), func(string) string { return "" })
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v, want %q", err, c.says)
			}
		})
	}
}
