package examples

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nova/novawire/internal/testing/pgtest"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// TestRust_Guide runs the shell blocks of docs/instrument-a-service.md, one for each
// terminal, but for the lines that every shell of the test has already, with free ports
// instead of its own: a line with LISTEN serves until the end, the others end.
func TestRust_Guide(t *testing.T) {
	target := prerequisite.Path(t, "NOVAWIRE_RUST_TARGET", "rust")
	cargo(t, "build", "--locked", "--workspace")
	guide, err := os.ReadFile("../docs/instrument-a-service.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks string // one for each terminal
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(guide, -1) {
		blocks += string(block[1])
	}
	user, content := freeAddress(t), freeAddress(t)
	text := strings.NewReplacer("127.0.0.1:8080", user, "127.0.0.1:8081", content, "127.0.0.1:6379", "127.0.0.1:"+startRedis(t).port).Replace(blocks)
	postgres := pgtest.NewPostgres(t)
	postgres.Exec(t, "postgres", "CREATE DATABASE nova_content")
	shell := func(line string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = "rust"
		cmd.Env = append(os.Environ(), "CARGO_TARGET_DIR="+target, "DATABASE_URL="+postgres.URL("nova_content"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // cargo's child must end with it
		return cmd
	}
	var outputs []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		if serving, ok := strings.CutPrefix(line, "LISTEN="); ok {
			serve(t, shell(line), strings.Fields(serving)[0])
			continue
		}
		if line == "cd examples/rust" || strings.HasPrefix(line, "export DATABASE_URL=") {
			continue // every shell of the test has both
		}
		output, err := shell(line).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, output)
		}
		outputs = append(outputs, string(output))
	}
	if len(outputs) != 3 || !strings.Contains(outputs[1], "200 OK") {
		t.Fatalf("want the output of the migration, of a feed and of the metrics: %q", outputs)
	}

	t.Run("the guide's table has the metrics that are exposed", func(t *testing.T) {
		var documented, exposed []string
		for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_]+_(?:total|bytes)`.*?) \\|").FindAllSubmatch(guide, -1) {
			for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllSubmatch(row[1], -1) {
				documented = append(documented, string(name[1]))
			}
		}
		for _, series := range regexp.MustCompile(`(?m)^([a-z_]+) [0-9]`).FindAllStringSubmatch(outputs[2], -1) {
			exposed = append(exposed, series[1])
		}
		slices.Sort(documented)
		slices.Sort(exposed)
		if !slices.Equal(documented, exposed) {
			t.Errorf("documented %v\nexposed    %v", documented, exposed)
		}
	})
}

// serve runs a command until the test's end, and waits until it listens.
func serve(t *testing.T, cmd *exec.Cmd, address string) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	awaitPort(t, address)
}
