//go:build cgo

package main

import (
	"bytes"
	"fmt"
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
	for _, c := range []struct {
		args []string
		want string // the line on standard error
	}{
		{nil, "name a command: install, check or agent; --help explains them"},
		{[]string{"instal", to}, `"instal" is not a command; did you mean install?`},
		{[]string{"run"}, `"run" is not a command; use one of install, check, agent, --help, --version`},
		{[]string{"install"}, "install: name one folder"},
		{[]string{"install", to, to}, "install: name one folder"},
		{[]string{"check"}, "check: name a file"},
		{[]string{"--version", "now"}, `--version: it takes no argument, got "now"`},
		{[]string{"agent", "--nod=a"}, "agent: flag provided but not defined: -nod"},
		{[]string{"agent", "--node=a", "b"}, `agent: it takes no argument, got "b"`},
		{[]string{"agent", "--node="}, "agent: the node's name is missing: set --node or NODE_NAME"},
	} {
		t.Run(fmt.Sprintf("%q is wrong usage", c.args), func(t *testing.T) {
			cmd := exec.Command(program, c.args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Run(); cmd.ProcessState.ExitCode() != 2 || stderr.String() != "novawire-fluentbit: "+c.want+"\n" {
				t.Errorf("%v: %s", err, stderr.String())
			}
		})
	}
}
