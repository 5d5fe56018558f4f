package novawire

import (
	"fmt"
	"math/big"
	"strings"
)

// ParseQuantity reads an amount in the notation of Kubernetes resources
// (k8s.io/apimachinery, resource.Quantity): a decimal number and a suffix of
// n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei, or an exponent. Negative
// amounts are refused: no resource has one.
func ParseQuantity(s string) (*big.Rat, error) {
	end := len(s) - len(strings.TrimLeft(s, "0123456789."))
	number, suffix := s[:end], s[end:]
	amount, ok := new(big.Rat).SetString(number)
	if !ok || strings.HasSuffix(number, ".") || strings.HasPrefix(number, ".") {
		return nil, fmt.Errorf("%q is not a quantity such as 100m or 64Mi", s)
	}
	factor, ok := quantityFactor(suffix)
	if !ok || len(s) > 32 {
		return nil, fmt.Errorf("%q is not a quantity such as 100m or 64Mi", s)
	}
	return amount.Mul(amount, factor), nil
}

func quantityFactor(suffix string) (*big.Rat, bool) {
	if i := strings.Index("n u m", suffix); suffix != "" && len(suffix) == 1 && i >= 0 && suffix != " " {
		return power(10, -9+3*int64(i/2)), true
	}
	if suffix == "" {
		return power(10, 0), true
	}
	if i := strings.Index("kMGTPE", suffix); len(suffix) == 1 && i >= 0 {
		return power(10, 3*int64(i+1)), true
	}
	if i := strings.Index("KMGTPE", suffix[:1]); len(suffix) == 2 && suffix[1] == 'i' && i >= 0 {
		return power(2, 10*int64(i+1)), true
	}
	if suffix[0] == 'e' || suffix[0] == 'E' {
		var exponent int64
		if n, err := fmt.Sscanf(suffix[1:]+"\n", "%d\n", &exponent); n == 1 && err == nil && exponent > -10 && exponent < 19 {
			return power(10, exponent), true
		}
	}
	return nil, false
}

func power(base, exponent int64) *big.Rat {
	p := new(big.Int).Exp(big.NewInt(base), big.NewInt(max(exponent, -exponent)), nil)
	if exponent < 0 {
		return new(big.Rat).SetFrac(big.NewInt(1), p)
	}
	return new(big.Rat).SetInt(p)
}
