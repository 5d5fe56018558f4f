//go:build !cgo

// Command novawire-fluentbit is the program of the image: it copies the Fluent Bit
// plugin to a node, checks configurations and runs the agent that says which log
// files to tail. This half of the command is built without C.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nova/novawire/cmd/novawire-fluentbit/agent"
	"github.com/nova/novawire/fluentbit/configfile"
	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/internal/version"
)

const (
	library = "out_novawire.so"
	usage   = `novawire-fluentbit installs the Fluent Bit plugin ` + library + ` on a node.

  novawire-fluentbit install DIR   copy the plugin to DIR
  novawire-fluentbit check FILE…   check configurations of Fluent Bit (YAML)
  novawire-fluentbit agent         link the log files of wired pods for Fluent Bit (agent -h lists the flags)
  novawire-fluentbit --help
  novawire-fluentbit --version

Exit codes: 0 success; 1 failure, which standard error explains; 2 wrong usage.
`
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	err := execute(args, stdout, stderr)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "novawire-fluentbit:", err)
	if errors.As(err, new(agent.UsageError)) {
		return 2
	}
	return 1
}

func execute(args []string, stdout, stderr io.Writer) error {
	var verb string
	if len(args) > 0 {
		verb = args[0]
	}
	switch {
	case verb == "install" && len(args) == 2:
		return install(args[1])
	case verb == "check" && len(args) >= 2:
		return check(args[1:], stderr)
	case verb == "agent":
		return agent.Run(args[1:], stderr)
	case verb == "--version" && len(args) == 1:
		_, err := fmt.Fprintln(stdout, "novawire-fluentbit", version.String())
		return err
	case verb == "":
		return agent.UsageError{Err: errors.New("name a command: install, check or agent; --help explains them")}
	case verb == "--help" || verb == "-h":
		_, err := fmt.Fprint(stdout, usage)
		return err
	case verb == "install":
		return agent.UsageError{Err: errors.New("install: name one folder")}
	case verb == "check":
		return agent.UsageError{Err: errors.New("check: name a file")}
	case verb == "--version":
		return agent.UsageError{Err: fmt.Errorf("--version: it takes no argument, got %q", args[1])}
	}
	return agent.UsageError{Err: validate.UnknownWord(verb, "command", []string{"install", "check", "agent", "--help", "--version"})}
}

// check returns all mistakes of the configurations, and prints those that keep nothing from
// starting.
func check(files []string, stderr io.Writer) error {
	var mistakes []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = configfile.Check(text, os.Getenv)
			for _, warning := range configfile.Warnings(text, os.Getenv) {
				fmt.Fprintf(stderr, "novawire-fluentbit: warning: %s: %s\n", file, warning)
			}
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", file, err))
		}
	}
	return errors.Join(mistakes...)
}

// install copies the library to dir and gives it its name once it is complete.
func install(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	source, err := os.Open(filepath.Join(filepath.Dir(self), library))
	if err != nil {
		return fmt.Errorf("open the plugin: %w", err)
	}
	defer func() { _ = source.Close() }()
	to := filepath.Join(dir, library)
	part, err := os.OpenFile(to+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("write the plugin: %w", err)
	}
	_, err = io.Copy(part, source)
	if err := errors.Join(err, part.Close()); err != nil {
		return fmt.Errorf("write the plugin: %w", err)
	}
	if err := os.Rename(to+".part", to); err != nil {
		return fmt.Errorf("name the plugin: %w", err)
	}
	return nil
}
