// Package sample is what the tests of mutation mutate.
package sample

import "errors"

// Clamp returns n, at least low and at most high.
func Clamp(n, low, high int) int {
	if n < low {
		n = low
	}
	if n > high {
		n = high
	}
	return n
}

// Check returns an error for a negative number.
func Check(n int) error {
	if n < 0 {
		return errors.New("negative")
	}
	return nil
}

// Unused is reached by no test.
func Unused(a, b bool) bool { return a && b }
