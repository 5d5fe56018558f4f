package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"golang.org/x/tools/txtar"

	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

var update = flag.Bool("update", false, "rewrite the runs in testdata")

// cli runs the program and returns its output and its exit code.
func cli(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	if err := run(context.Background(), args, strings.NewReader(stdin), &out, &errs); err != nil {
		errs.WriteString(err.Error() + "\n")
		code = commandline.ExitCode(err)
	}
	return out.String(), errs.String(), code
}

// TestPreview runs the cases in testdata. The comment of a file says what the case
// proves; its last line has the arguments. The files are written to the working
// folder, except stdin, stdout, stderr and exit.
func TestPreview(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no runs", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			file, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(text)
			want := map[string]string{}
			t.Chdir(t.TempDir())
			for _, f := range archive.Files {
				if slices.Contains([]string{"stdin", "stdout", "stderr", "exit"}, f.Name) {
					want[f.Name] = string(f.Data)
					continue
				}
				if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(f.Name, f.Data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			lines := strings.Split(strings.TrimSpace(string(archive.Comment)), "\n")
			args := strings.Fields(lines[len(lines)-1])
			stdout, stderr, code := cli(t, want["stdin"], args[1:]...)
			got := map[string]string{"stdout": stdout, "stderr": stderr, "exit": strconv.Itoa(code) + "\n"}
			for i, f := range archive.Files {
				if text, ok := got[f.Name]; ok {
					archive.Files[i].Data = []byte(text)
				}
			}
			now := string(txtar.Format(archive))
			if *update {
				if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), now); diff != "" {
				t.Errorf("-want +got (go test ./cmd/novawire -run TestPreview -update rewrites):\n%s", diff)
			}
		})
	}
}

func TestPreview_OfAPreviewIsIdentical(t *testing.T) {
	inputs := []string{"../../examples/nova.yaml"}
	if corpus, _ := filepath.Glob("../../../shared/corpus/*.yaml"); len(corpus) > 0 {
		inputs = append(inputs, corpus...)
	}
	for _, input := range inputs {
		for _, output := range []string{"yaml", "json"} {
			once, stderr, code := cli(t, "", "preview", "-o", output, input)
			if code != 0 || once == "" {
				t.Fatalf("%s: exit %d: %s", input, code, stderr)
			}
			twice, _, _ := cli(t, once, "preview", "-o", output, "-")
			if diff := cmp.Diff(once, twice); diff != "" {
				t.Errorf("%s as %s changes:\n%s", input, output, diff)
			}
		}
	}
}

func TestPreview_WiresTheExample(t *testing.T) {
	stdout, stderr, code := cli(t, "", "preview", "../../examples/nova.yaml")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if n := strings.Count(stdout, "name: novawire-collector"); n != 5 {
		t.Errorf("%d sidecars: three services, the job and the database have one each, the cache has opted out", n)
	}
	for _, kept := range []string{"# scraped because of its name", "value: feed-api", "team=content,tier=gold", "name: redis"} {
		if !strings.Contains(stdout, kept) {
			t.Errorf("%q is gone", kept)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"preview", "--help"}, {"--version"}, {"help"}, {"help", "backup"}, {"help", "backup", "list"}, {"help", "help"}} {
		stdout, stderr, code := cli(t, "", args...)
		if code != 0 || stdout == "" {
			t.Errorf("%v: exit %d: %s", args, code, stderr)
		}
	}
	if help, _, _ := cli(t, "", "help"); !strings.Contains(help, "--version") {
		t.Error("help does not list --version")
	}
	if help, _, _ := cli(t, "", "preview", "--help"); !strings.Contains(help, "Exit codes") {
		t.Error("preview --help does not tell its exit codes")
	}
}

func TestRun_RefusesUnknownCommands(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"previw"}, `novawire: "previw" is not a command; did you mean preview?`},
		{[]string{"xyzzy-plugh"}, `novawire: "xyzzy-plugh" is not a command; use one of `},
		{[]string{"backup", "lst"}, `novawire backup: "lst" is not a command; did you mean list?`},
		{[]string{"check", "cert"}, `novawire check: "cert" is not a command; did you mean certs?`},
		{[]string{"chek", "-o", "json"}, `novawire: "chek" is not a command; did you mean check?`},
		{[]string{"backup", "lst", "-o", "json"}, `novawire backup: "lst" is not a command; did you mean list?`},
		{[]string{"help", "chek"}, `novawire: "chek" is not a command; did you mean check?`},
		{[]string{"help", "backup", "lst"}, `novawire backup: "lst" is not a command; did you mean list?`},
	} {
		_, stderr, code := cli(t, "", c.args...)
		if code != commandline.ExitUsage || !strings.HasPrefix(stderr, c.want) {
			t.Errorf("%v: exit %d: %s", c.args, code, stderr)
		}
	}
	if stdout, stderr, code := cli(t, ""); code != 0 || !strings.Contains(stdout, "Available Commands") {
		t.Errorf("no command: exit %d: %s%s", code, stdout, stderr)
	}
}

// TestRun_WrongCommandLine calls every command with arguments and flags that it does not
// take.
func TestRun_WrongCommandLine(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		wrong := map[string][]string{
			"an unknown flag":         {"--no-such-flag-at-all"},
			"a misspelt flag":         {"--hepl"},
			"a flag without a value":  {"--kubeconfig"},
			"three unknown arguments": {"a/b/c", "d", "e"},
		}
		if cmd.Flags().Lookup("kubeconfig") == nil {
			delete(wrong, "a flag without a value")
		}
		if cmd.Name() == "preview" {
			delete(wrong, "three unknown arguments")
		}
		for name, args := range wrong {
			t.Run(strings.Join(append(path, name), " "), func(t *testing.T) {
				_, stderr, code := cli(t, "", append(slices.Clone(path), args...)...)
				if code != commandline.ExitUsage || strings.Count(stderr, "\n") != 1 || strings.HasPrefix(stderr, "Error") {
					t.Errorf("exit %d: %s", code, stderr)
				}
				if name == "a misspelt flag" && !strings.Contains(stderr, "did you mean --help?") {
					t.Errorf("the nearest flag is not named: %s", stderr)
				}
			})
		}
	}
	walk(rootCommand("novawire"))
}

func TestPreview_FollowsLinks(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, folder := range []string{"real/below", "in"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pod := []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: behind-a-link}\nspec: {containers: [{name: a, image: a}]}\n")
	if err := os.WriteFile("real/below/pod.yaml", pod, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"in/linked": "../real", "real/below/up": "..", "alias": "in"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"in", "alias"} {
		stdout, stderr, code := cli(t, "", "preview", path)
		if n := strings.Count(stdout, "name: behind-a-link"); code != 0 || n != 1 {
			t.Errorf("%s: exit %d, printed %d times: %s", path, code, n, stderr)
		}
	}
}

func TestPreview_Color(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n"
	for flag, want := range map[string]bool{"auto": false, "never": false, "always": true} {
		stdout, stderr, code := cli(t, pod, "preview", "-o", "diff", "--color", flag, "-")
		if code != 0 || strings.Contains(stdout, "\x1b[") != want {
			t.Errorf("%s: exit %d: %s", flag, code, stderr)
		}
	}
	t.Run("auto has colours on a terminal, without NO_COLOR", func(t *testing.T) {
		terminal := openTerminal(t)
		for variable, want := range map[string]bool{"": true, "1": false, "false": false} {
			t.Setenv("NO_COLOR", variable)
			if got := useColor("auto", terminal); got != want {
				t.Errorf("NO_COLOR=%q: %v", variable, got)
			}
			if !useColor("always", terminal) || useColor("never", terminal) {
				t.Errorf("NO_COLOR=%q is stronger than --color", variable)
			}
		}
	})
	if _, stderr, code := cli(t, pod, "preview", "--color", "sometimes", "-"); code != commandline.ExitUsage {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// openTerminal opens a pseudo terminal.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		prerequisite.Skip(t, "no pseudo terminal; run: mount -t devpts devpts /dev/pts && go test ./cmd/novawire")
	}
	t.Cleanup(func() { _ = master.Close() })
	return master
}

func TestPreview_SaysWhatItAssumes(t *testing.T) {
	for _, c := range []struct {
		stdin, flag, want string
	}{
		{"", "--output=yaml", "preview: the input has no Kubernetes objects"},
		{"# nothing\n---\n", "--output=yaml", "preview: the input has no Kubernetes objects"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n", "--explain", "preview: the input has no Namespace: all objects are treated as opted in"},
	} {
		if _, stderr, code := cli(t, c.stdin, "preview", c.flag, "-"); code != 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d: %s", c.stdin, code, stderr)
		}
	}
}
