package validate

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// suffixes of resource.Quantity as base and exponent.
var suffixes = map[string][2]int64{
	"": {10, 0}, "n": {10, -9}, "u": {10, -6}, "m": {10, -3},
	"k": {10, 3}, "M": {10, 6}, "G": {10, 9}, "T": {10, 12}, "P": {10, 15}, "E": {10, 18},
	"Ki": {2, 10}, "Mi": {2, 20}, "Gi": {2, 30}, "Ti": {2, 40}, "Pi": {2, 50}, "Ei": {2, 60},
}

// ParseQuantity reads an amount in the notation of Kubernetes resources
// (k8s.io/apimachinery, resource.Quantity): a decimal number and one of its
// suffixes, or an exponent. A sign is refused: no resource is negative.
func ParseQuantity(s string) (*big.Rat, error) {
	suffix := strings.TrimLeft(s, "0123456789.")
	number := strings.TrimSuffix(s, suffix)
	amount, isNumber := new(big.Rat).SetString(number)
	scale, isSuffix := suffixes[suffix]
	if !isSuffix && (suffix[0] == 'e' || suffix[0] == 'E') {
		exponent, err := strconv.ParseInt(suffix[1:], 10, 64)
		scale, isSuffix = [2]int64{10, exponent}, err == nil && exponent > -10 && exponent < 19
	}
	if !isNumber || !isSuffix || len(number) > 20 || strings.Trim(number, ".") != number {
		return nil, fmt.Errorf("%q is not a quantity such as 100m or 64Mi", s)
	}
	return amount.Mul(amount, power(scale[0], scale[1])), nil
}

func power(base, exponent int64) *big.Rat {
	p := new(big.Int).Exp(big.NewInt(base), big.NewInt(max(exponent, -exponent)), nil)
	if exponent < 0 {
		return new(big.Rat).SetFrac(big.NewInt(1), p)
	}
	return new(big.Rat).SetInt(p)
}
