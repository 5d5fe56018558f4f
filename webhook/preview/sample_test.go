package preview_test

import (
	"testing"

	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/webhook/preview"
)

// A number is shown as the sidecar sends it.
func TestRedact_Numbers(t *testing.T) {
	const sample = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":4111111111111111}}]}]}]}`
	for rules, want := range map[string]string{
		"mask preset card-numbers": redact.Masked,
		"hash preset card-numbers": "hmac:06fbaf36a409ea83",
		"drop preset card-numbers": redact.Masked, // there is no attribute that could be left out
		"maks value x":             redact.Masked,
		"mask preset email":        "",
	} {
		got := ""
		for _, change := range preview.Redact(rules, true, []byte(sample)).Changes {
			got += change.After
		}
		if got != want {
			t.Errorf("%s: %q, want %q", rules, got, want)
		}
	}
}
