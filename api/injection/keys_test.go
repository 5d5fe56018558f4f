package injection

import (
	"testing"

	"github.com/nova/novawire/api"
)

func TestKeys_AreTheKeysOfParseRequest(t *testing.T) {
	language := map[string]bool{}
	for _, k := range keys {
		if k.On == api.OnPod && !k.Label && !k.Written {
			language[k.Name] = true
		}
	}
	for _, rule := range requestRules {
		if !language[rule.key] {
			t.Errorf("%s is read but not in Keys", rule.key)
		}
		delete(language, rule.key)
	}
	for name := range language {
		t.Errorf("%s is in Keys but never read", name)
	}
}
