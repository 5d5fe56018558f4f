package validate

import "testing"

func TestNearest(t *testing.T) {
	verbs := []string{"run", "list", "verify", "restore", "check", "now", "status"}
	for name, want := range map[string]string{
		"verfy": "verify", "chek": "check", "stauts": "status", "restor": "restore", "lst": "list", "nwo": "now", "ststus": "status", "x": "",
		"foo": "", "version": "", "install": "", "": "",
	} {
		if got := Nearest(name, verbs); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
