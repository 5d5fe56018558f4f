package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/nova/novawire/internal/commandline"
)

// display is how a command shows the state of the cluster: once, or again whenever it has
// changed.
type display struct {
	output   string
	watch    bool
	interval time.Duration
}

func (d *display) register(f *pflag.FlagSet) {
	f.StringVarP(&d.output, "output", "o", "table", "table, json or yaml")
	f.BoolVarP(&d.watch, "watch", "w", false, "show it again whenever it has changed, until Ctrl-C")
	f.DurationVar(&d.interval, "interval", 5*time.Second, "how often --watch asks the cluster")
}

func (d display) check(command string) error {
	switch {
	case d.output != "table" && d.output != "json" && d.output != "yaml":
		return commandline.UsageError("%s: output %q: use table, json or yaml", command, d.output)
	case d.interval < time.Second:
		return commandline.UsageError("%s: --interval %s: use 1s or more", command, d.interval)
	}
	return nil
}

// run prints what show returns.
func (d display) run(cmd *cobra.Command, show func(ctx context.Context) ([]byte, error)) error {
	var last []byte
	for {
		text, err := show(cmd.Context())
		if err != nil {
			if d.watch && errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
		if !bytes.Equal(text, last) {
			if err := d.print(cmd.OutOrStdout(), text, last != nil); err != nil {
				return err
			}
			last = text
		}
		if !d.watch {
			return nil
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(d.interval):
		}
	}
}

// print writes one state. On a terminal it replaces the one before.
func (d display) print(w io.Writer, text []byte, again bool) error {
	file, isFile := w.(*os.File)
	switch {
	case d.watch && d.output == "table" && isFile && term.IsTerminal(int(file.Fd())):
		text = append([]byte("\x1b[H\x1b[2J"), text...) // home, erase
	case again && d.output == "table":
		text = append([]byte("\n"), text...)
	case again && d.output == "yaml":
		text = append([]byte("---\n"), text...)
	}
	_, err := w.Write(text)
	return err
}

// encode writes a value as JSON or YAML, or as a table.
func (d display) encode(v any, table func(w io.Writer) error) ([]byte, error) {
	var (
		out bytes.Buffer
		err error
	)
	switch d.output {
	case "json":
		err = writeJSON(&out, v)
	case "yaml":
		err = writeYAML(&out, v)
	default:
		err = table(&out)
	}
	return out.Bytes(), err
}
