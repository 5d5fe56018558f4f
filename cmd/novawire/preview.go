package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/nova/novawire/config"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/preview"
)

type previewFlags struct {
	output    string
	namespace string
	config    string
	explain   bool
	color     string
	redact    string
}

func previewCommand() *cobra.Command {
	var flags previewFlags
	cmd := &cobra.Command{
		Use:   "preview FILE…",
		Short: "Print manifests as the cluster would hold them",
		Long: `Prints manifests as a cluster with Novawire would hold them. It needs no cluster: it uses
the engine of the webhook. FILE is a YAML or JSON file with any number of documents, a
folder, or - for standard input.

Pods and pod templates of every kind are wired, also those of custom resources. Everything
else is printed as it was read, and the wired documents keep their comments and style. A
StatefulSet that requests backup is followed by the CronJobs and other objects that are made
for it. If the input has Namespaces, only those labelled nova.dev/wiring: enabled are opted
in; without any, all objects are. Warnings are printed on standard error, one per line.

With --redact a sample is printed instead, as far as the rules of redaction of these manifests
change it: log lines, or OTLP in JSON. Without manifests the rules are those of the defaults in
--config. Hashes differ from the cluster's, whose key is secret; rules that hash mask if the
configuration names no key.

Exit codes: 0 printed; 1 bad input, with one line per mistake (file:line: kind/name: what)
and nothing printed; 2 bad command line.`,
		Example: `  novawire preview examples/nova.yaml
  novawire preview -o diff deploy/
  novawire preview --redact examples/redact/feed.log examples/redact/feed.yaml
  kubectl get deployment feed -o yaml | novawire preview --explain -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && flags.redact == "" {
				return commandline.UsageError("preview: name a file, a folder, or - for standard input")
			}
			if flags.redact == "-" && slices.Contains(args, "-") {
				return commandline.UsageError("preview: the sample and the manifests cannot both be standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"output", "explain", "color"} {
				if flags.redact != "" && cmd.Flags().Changed(name) {
					return commandline.UsageError("preview: --%s says how manifests are printed, and --redact prints a sample: use one of them", name)
				}
			}
			return runPreview(flags, args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&flags.output, "output", "o", "yaml", "yaml, json, or diff")
	cmd.Flags().StringVarP(&flags.namespace, "namespace", "n", "default", "namespace of objects that name none")
	cmd.Flags().StringVar(&flags.config, "config", "", "the manager's configuration file")
	cmd.Flags().StringVar(&flags.color, "color", "auto", "colours of a diff: auto, always or never; auto respects NO_COLOR")
	cmd.Flags().BoolVar(&flags.explain, "explain", false, "print each decision with its rule and source instead of manifests")
	cmd.Flags().StringVar(&flags.redact, "redact", "", "a file with log lines or OTLP in JSON, or -: print what is redacted in it")
	suggestValues(cmd, "output", "yaml", "json", "diff")
	suggestValues(cmd, "color", "auto", "always", "never")
	return cmd
}

func runPreview(flags previewFlags, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if !slices.Contains([]string{"yaml", "json", "diff"}, flags.output) {
		return commandline.UsageError("preview: output %q: use yaml, json or diff", flags.output)
	}
	if !slices.Contains([]string{"auto", "always", "never"}, flags.color) {
		return commandline.UsageError("preview: --color %q: use auto, always or never", flags.color)
	}
	if len(validation.IsDNS1123Label(flags.namespace)) > 0 {
		return commandline.UsageError("preview: --namespace %q: use 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends", flags.namespace)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // a run is short: less memory for a little time
	c, err := config.Read(flags.config, os.Getenv(config.EnvImage))
	if err != nil {
		return err
	}
	if flags.config != "" && c.Unversioned() {
		fmt.Fprintln(stderr, "warning: "+config.VersionWarning)
	}
	engine, err := inject.New(c.Injection)
	if err != nil {
		return err
	}
	documents, errRead := preview.Read(paths, stdin)
	documents, objects, errWire := preview.Wire(documents, preview.Options{
		Engine: engine, Namespace: flags.namespace, Explain: flags.explain || flags.redact != "", Generate: c.Backup.Preview,
	})
	if err := errors.Join(errRead, errWire); err != nil {
		return err
	}
	if flags.redact != "" {
		preview.WriteWarnings(stderr, documents, objects)
		return redactSample(flags.redact, c.Injection, objects, stdin, stdout)
	}
	if preview.CountObjects(documents) == 0 {
		fmt.Fprintln(stderr, "preview: the input has no Kubernetes objects")
	}
	if flags.explain {
		if len(objects) > 0 && !preview.HasNamespace(documents) {
			fmt.Fprintln(stderr, "preview: the input has no Namespace: all objects are treated as opted in")
		}
		return preview.WriteExplanation(stdout, objects)
	}
	preview.WriteWarnings(stderr, documents, objects)
	switch flags.output {
	case "json":
		return preview.WriteJSON(stdout, documents)
	case "diff":
		return preview.WriteDiff(stdout, documents, useColor(flags.color, stdout))
	}
	return preview.WriteYAML(stdout, documents)
}

// useColor reports whether a diff has colours. With auto it has them on a terminal,
// unless the variable NO_COLOR is set (https://no-color.org).
func useColor(flag string, w io.Writer) bool {
	if flag != "auto" {
		return flag == "always"
	}
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
}
