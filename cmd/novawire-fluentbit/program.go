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
	"github.com/nova/novawire/internal/version"
)

const (
	library = "out_novawire.so"
	usage   = `novawire-fluentbit installs the Fluent Bit plugin ` + library + ` on a node.

  novawire-fluentbit install DIR   copy the plugin to DIR
  novawire-fluentbit check FILE…   check configurations of Fluent Bit (YAML)
  novawire-fluentbit agent         link the log files of wired pods for Fluent Bit (agent -h lists the flags)
  novawire-fluentbit --version

Exit codes: 0 success; 1 failure, which standard error explains; 2 wrong usage.
`
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) == 2 && args[0] == "install":
		err = install(args[1])
	case len(args) >= 2 && args[0] == "check":
		err = check(args[1:])
	case len(args) >= 1 && args[0] == "agent":
		err = agent.Run(args[1:], stderr)
	case len(args) == 1 && args[0] == "--version":
		fmt.Fprintln(stdout, "novawire-fluentbit", version.String())
	default:
		fmt.Fprint(stderr, usage)
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, "novawire-fluentbit:", err)
		return 1
	}
	return 0
}

// check returns all mistakes of the configurations.
func check(files []string) error {
	var mistakes []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = configfile.Check(text, os.Getenv)
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
	defer source.Close()
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
