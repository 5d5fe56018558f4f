//go:build !cgo

// Command novawire-fluentbit carries the Fluent Bit plugin to another image:
// "novawire-fluentbit install DIR" copies out_novawire.so from its own folder to
// DIR. This half of the command is built without C.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nova/novawire/internal/version"
)

const (
	library = "out_novawire.so"
	usage   = `novawire-fluentbit brings the Fluent Bit plugin ` + library + ` to a node.

  novawire-fluentbit install DIR   copy the plugin to DIR
  novawire-fluentbit --version

Exit codes: 0 success; 1 failure, which standard error explains; 2 wrong usage.
`
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 2 && args[0] == "install":
		if err := install(args[1]); err != nil {
			fmt.Fprintln(stderr, "novawire-fluentbit:", err)
			return 1
		}
	case len(args) == 1 && args[0] == "--version":
		fmt.Fprintln(stdout, "novawire-fluentbit", version.String())
	default:
		fmt.Fprint(stderr, usage)
		return 2
	}
	return 0
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
