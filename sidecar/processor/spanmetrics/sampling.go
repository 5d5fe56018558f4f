package spanmetrics

import (
	"bytes"
	"math"
	"strconv"
)

// maxThreshold is the number of thresholds of consistent probability sampling, which has 56
// bits of randomness (OpenTelemetry specification, "TraceState: Probability Sampling").
const maxThreshold = 1 << 56

// adjustedCount returns how many requests a span stands for, by the entry of OpenTelemetry
// in its tracestate: the inverse of the probability with which it was kept. Where the
// entry does not say it, the result is 1 and false.
//
// th is the threshold below which spans were rejected. p, of an earlier version of the
// specification, is the negative logarithm of the probability; 63 is a probability of
// zero.
func adjustedCount(traceState []byte) (count float64, known bool) {
	entry := member(traceState, ",", "ot=")
	if threshold := member(entry, ";", "th:"); threshold != nil {
		if t, ok := parseThreshold(threshold); ok {
			return maxThreshold / float64(maxThreshold-t), true
		}
	}
	if exponent := member(entry, ";", "p:"); exponent != nil {
		n, err := strconv.ParseUint(string(exponent), 10, 8)
		switch {
		case err == nil && n < 63:
			return math.Ldexp(1, int(n)), true //nolint:gosec // below 63
		case err == nil && n == 63:
			return 0, true
		}
	}
	return 1, false
}

// member returns what follows the prefix of the first member of a list that has it.
func member(list []byte, separator, prefix string) []byte {
	for len(list) > 0 {
		one, rest, _ := bytes.Cut(list, []byte(separator))
		if value, ok := bytes.CutPrefix(bytes.Trim(one, " \t"), []byte(prefix)); ok {
			return value
		}
		list = rest
	}
	return nil
}

// parseThreshold reads 1 to 14 hexadecimal digits; zeros at the end may be left out.
func parseThreshold(digits []byte) (threshold uint64, ok bool) {
	if len(digits) == 0 || len(digits) > 14 {
		return 0, false
	}
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			threshold = threshold<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			threshold = threshold<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return threshold << (4 * (14 - len(digits))), true
}
