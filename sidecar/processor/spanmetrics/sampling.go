package spanmetrics

import (
	"bytes"
	"math"
	"strconv"
)

// maxThreshold is the number of thresholds of consistent probability sampling, which has 56
// bits of randomness (OpenTelemetry specification, "TraceState: Probability Sampling").
const maxThreshold = 1 << 56

// maxCount is the largest number of requests that one span stands for: a caller writes the
// tracestate, and with a probability of nearly zero its one request would outweigh all
// others, so that no alert on a ratio could fire. A probability below 1 in maxCount counts
// as unknown.
//
// With this bound a sum of float64 loses no count of one before it is 2^53, which are
// 8.8e12 spans of the largest count.
const maxCount = 1 << 10

// adjustedCount returns how many requests a span stands for, by the entry of OpenTelemetry
// in its tracestate: the inverse of the probability with which it was kept. Where the
// entry does not say it, or says one that is not believed, the result is 1 and false.
//
// th is the threshold below which spans were rejected. p, of an earlier version of the
// specification, is the negative logarithm of the probability; 63 is a probability of
// zero, which a span that is here cannot have had.
func adjustedCount(traceState []byte) (count float64, known bool) {
	entry := member(traceState, ",", "ot=")
	if threshold := member(entry, ";", "th:"); threshold != nil {
		if t, ok := parseThreshold(threshold); ok {
			return believed(maxThreshold / float64(maxThreshold-t))
		}
	}
	if exponent := member(entry, ";", "p:"); exponent != nil {
		if n, err := strconv.ParseUint(string(exponent), 10, 8); err == nil && n <= 63 {
			return believed(math.Ldexp(1, int(n))) //nolint:gosec // at most 63
		}
	}
	return 1, false
}

func believed(count float64) (float64, bool) {
	if count > maxCount {
		return 1, false
	}
	return count, true
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
