// Package prerequisite is for tests that need more than Go: a program, a server, a right.
package prerequisite

import (
	"os"
	"strconv"
	"testing"
)

// Skip skips the test. In CI, where nobody would notice that, it fails it.
func Skip(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

// Path returns the path in an environment variable that tools/provide sets, for example
// of a program. Without it, it calls [Skip] with the command that provides it.
func Path(tb testing.TB, variable, name string) string {
	tb.Helper()
	path := os.Getenv(variable)
	if path == "" {
		Skip(tb, `%s is not set; run: eval "$(tools/provide %s env)" && go test -run '^%s$' in this folder, or make test`, variable, name, tb.Name())
	}
	return path
}
