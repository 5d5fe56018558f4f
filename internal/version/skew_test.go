package version

import "testing"

func TestMinorSkew(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		skew  int
		known bool
	}{
		{"v0.2.0", "v0.2.9", 0, true},
		{"v0.2.0", "v0.1.0", 1, true},
		{"v0.1.0", "v0.3.0-rc.1", 2, true},
		{"v1.0.0", "v0.9.0", 1000, true},
		{"devel", "v0.2.0", 0, false},
		{"v0.2.0", "latest", 0, false},
		{"v0.2", "v0.2.0", 0, false},
		{"v0.x.0", "v0.2.0", 0, false},
		{"0.2.0", "v0.2.0", 0, false},
	} {
		if skew, known := MinorSkew(c.a, c.b); skew != c.skew || known != c.known {
			t.Errorf("%s and %s: %d, %t", c.a, c.b, skew, known)
		}
	}
}
