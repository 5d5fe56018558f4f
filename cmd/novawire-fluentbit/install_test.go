//go:build cgo

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The program of the image is built without cgo, so the test builds and runs it.
func TestInstall(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	program := filepath.Join(from, "novawire-fluentbit")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	install := func() error { return exec.Command(program, "install", to).Run() }
	if install() == nil {
		t.Error("it copied what is not there")
	}
	plugin := []byte("a library")
	if err := os.WriteFile(filepath.Join(from, "out_novawire.so"), plugin, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again over what is there
		if err := install(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(to, "out_novawire.so")); err != nil || !bytes.Equal(got, plugin) {
		t.Errorf("got %q, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(to, "*")); len(left) != 1 {
		t.Errorf("left are %q", left)
	}
	if err := exec.Command(program).Run(); err == nil {
		t.Error("no usage was asked for")
	}
}
