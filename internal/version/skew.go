package version

import (
	"strconv"
	"strings"
)

// MinorSkew returns by how many minor versions two versions differ, and whether both
// are versions of releases. Versions with different major numbers are 1000 apart.
func MinorSkew(a, b string) (skew int, ok bool) {
	majorA, minorA, okA := minor(a)
	majorB, minorB, okB := minor(b)
	if !okA || !okB {
		return 0, false
	}
	if majorA != majorB {
		return 1000, true
	}
	return max(minorA-minorB, minorB-minorA), true
}

// minor returns the first two numbers of v1.2.3 or v1.2.3-suffix.
func minor(v string) (major, minor int, ok bool) {
	number, isVersion := strings.CutPrefix(v, "v")
	parts := strings.SplitN(number, ".", 3)
	if !isVersion || len(parts) != 3 {
		return 0, 0, false
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	return major, minor, errMajor == nil && errMinor == nil
}
