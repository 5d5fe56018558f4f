package injection_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nova/novawire/api/injection"
)

func TestOptedIn(t *testing.T) {
	enabled := map[string]string{injection.LabelWiring: injection.WiringEnabled}
	for name, c := range map[string]struct {
		namespace string
		labels    map[string]string
		want      bool
	}{
		"a labelled namespace":                       {"nova", enabled, true},
		"a namespace without the label":              {"nova", nil, false},
		"a namespace with another value":             {"nova", map[string]string{injection.LabelWiring: "true"}, false},
		"a labelled namespace of the cluster itself": {"kube-system", enabled, false},
		"our own namespace":                          {"novawire-system", enabled, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := injection.OptedIn(c.namespace, c.labels); got != c.want {
				t.Errorf("opted in: %t", got)
			}
		})
	}
	t.Run("excludes the namespaces that the webhook's selector excludes", func(t *testing.T) {
		text, err := os.ReadFile("../../manifests/base/webhooks.yaml")
		if err != nil {
			t.Fatal(err)
		}
		lists := regexp.MustCompile(`kubernetes\.io/metadata\.name, operator: NotIn, values: \[([^]]*)\]`).FindAllStringSubmatch(string(text), -1)
		if len(lists) == 0 {
			t.Fatal("the selector is not found")
		}
		for _, list := range lists {
			for name := range strings.SplitSeq(list[1], ", ") {
				if injection.OptedIn(name, enabled) {
					t.Errorf("%s is excluded by the selector and opted in here", name)
				}
			}
			if n := strings.Count(list[1], ",") + 1; n != 4 {
				t.Errorf("the selector excludes %d namespaces: %s", n, list[1])
			}
		}
	})
}

func TestNamespaceStatus(t *testing.T) {
	s := injection.NamespaceStatus{Config: "11e0f6e58d69", Missing: 2}
	if got := s.String(); got != `{"config":"11e0f6e58d69","missing":2}` {
		t.Errorf("written as %s", got)
	}
	if got, ok := injection.ReadNamespaceStatus(map[string]string{injection.AnnotationStatus: s.String()}); !ok || got != s {
		t.Errorf("read back as %+v, %t", got, ok)
	}
	for _, text := range []string{"", "{}", "no JSON"} {
		if _, ok := injection.ReadNamespaceStatus(map[string]string{injection.AnnotationStatus: text}); ok {
			t.Errorf("%q is read as a status", text)
		}
	}
}
