//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/nova/novawire/api/injection"
)

func TestWarnings(t *testing.T) {
	t.Parallel()
	t.Run("kubectl apply warns about a mistake", func(t *testing.T) {
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
		// The value is ignored; the pod is wired and runs.
		checkWired(t, n.pod("shop", readyOrSucceeded))
	})

	t.Run("kubectl apply does not warn about a correct manifest", func(t *testing.T) {
		t.Parallel()
		n := inNamespace(t, true)
		if _, warned := kubectl(t, manifest(t, "apps/v1", "Deployment", deployment(n.name, "shop")), "apply", "-f", "-"); warned != "" {
			t.Errorf("kubectl apply warns: %s", warned)
		}
	})
}
