//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/nova/novawire/api/injection"
)

func TestAMistakeIsToldAtApply(t *testing.T) {
	t.Parallel()
	n := inNamespace(t, true)
	shop := deployment(n.name, "shop")
	shop.Spec.Template.Annotations = map[string]string{injection.AnnotationTraceSampling: "2"}

	_, warned := kubectl(t, manifest(t, "apps/v1", "Deployment", shop), "apply", "-f", "-")
	for _, want := range []string{"Warning: ", injection.AnnotationTraceSampling, `"2"`} {
		if !strings.Contains(warned, want) {
			t.Errorf("kubectl apply does not say %q:\n%s", want, warned)
		}
	}
	// The mistake costs its setting, not the wiring and not the app.
	checkWired(t, n.pod("shop", readyOrSucceeded))
}

func TestNothingIsSaidWhenNothingIsWrong(t *testing.T) {
	t.Parallel()
	n := inNamespace(t, true)
	if _, warned := kubectl(t, manifest(t, "apps/v1", "Deployment", deployment(n.name, "shop")), "apply", "-f", "-"); warned != "" {
		t.Errorf("kubectl apply warns: %s", warned)
	}
}
