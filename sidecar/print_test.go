package sidecar_test

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestPrintConfig(t *testing.T) {
	t.Parallel()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "print-config")
	cmd.Env = []string{"NOVAWIRE_BACKEND=xray", "NOVAWIRE_AWS_REGION=eu-west-1", "NOVAWIRE_HEADERS=authorization=s3cret", "NOVAWIRE_TIMEOUT=forever", "AWS_SECRET_ACCESS_KEY=s3cret"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("print-config: %v\n%s", err, stderr.String())
	}
	for _, want := range []string{"url: https://xray.eu-west-1.amazonaws.com/v1/traces", "url: https://monitoring.eu-west-1.amazonaws.com/v1/metrics", "authorization: '[redacted]'", "timeout: 10s"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in:\n%s", want, stdout.String())
		}
	}
	if !strings.Contains(stderr.String(), "warning: NOVAWIRE_TIMEOUT: \"forever\" is ignored") {
		t.Errorf("the mistake is not told: %s", stderr.String())
	}
	if strings.Contains(stdout.String()+stderr.String(), "s3cret") {
		t.Error("a secret is printed")
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "--config=x").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "print-config") {
		t.Errorf("got %v\n%s", err, out)
	}
}
