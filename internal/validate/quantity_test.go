package validate_test

import (
	"math"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nova/novawire/internal/validate"
)

// Kubernetes' own reader is the reference.
func TestParseQuantity_AgreesWithKubernetes(t *testing.T) {
	for _, s := range []string{
		"0", "1", "100m", "1.5", "0.5Gi", "64Mi", "64M", "1k", "1Ki", "250u", "7n", "3e3", "3E3", "12e-3", "1Ei", "2P", "16T",
		"", "m", "1x", "1mm", "1KI", "1K", "-1", "+1", " 1", "1 ", "1e", "1.2.3", ".5", "5.", "1e1000", "Mi", "1ei", "0x10", "1_000",
	} {
		want, wantErr := resource.ParseQuantity(s)
		got, err := validate.ParseQuantity(s)
		// Kubernetes also takes a sign, a number without digits before or after
		// the point, or without any, and an exponent of any size; nobody needs them.
		refused := slices.Contains([]string{"+1", ".5", "5.", "m", "Mi", "1e1000"}, s)
		switch {
		case err == nil && wantErr != nil:
			t.Errorf("%q is %v here and an error there: %v", s, got, wantErr)
		case err != nil && wantErr == nil && want.Sign() >= 0 && !refused:
			t.Errorf("%q is an error here and %v there: %v", s, want.String(), err)
		case err == nil:
			f, _ := got.Float64()
			if there := want.AsApproximateFloat64(); math.Abs(f-there) > there*1e-9 {
				t.Errorf("%q is %v here and %v there", s, f, there)
			}
		}
	}
}
