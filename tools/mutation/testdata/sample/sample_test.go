package sample

import "testing"

func TestClamp(t *testing.T) {
	for n, want := range map[int]int{-1: 0, 0: 0, 5: 5, 10: 10, 11: 10} {
		if got := Clamp(n, 0, 10); got != want {
			t.Errorf("Clamp(%d) = %d, want %d", n, got, want)
		}
	}
}

// It asks for no error alone, so that the returned error and the condition survive.
func TestCheck(t *testing.T) {
	if err := Check(1); err != nil {
		t.Error(err)
	}
	_ = Check(-1)
}
