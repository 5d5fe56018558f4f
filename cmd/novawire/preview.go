package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/preview"
)

type previewFlags struct {
	output    string
	namespace string
	config    string
	explain   bool
}

func previewCommand() *cobra.Command {
	var flags previewFlags
	cmd := &cobra.Command{
		Use:   "preview FILE…",
		Short: "Print manifests as the cluster would hold them",
		Long: `Prints manifests as a cluster with Novawire would hold them. It needs no cluster: the
engine is the webhook's own. FILE is a YAML or JSON file of any number of documents, a
directory, or - for standard input.

Workloads of every kind and bare pods are wired; other objects are printed as they came.
StatefulSets that ask for backup are followed by the CronJobs and what else is made for them.
Where the input has Namespaces, only those labelled nova.dev/wiring: enabled are opted in;
without any, all is. What a user should know comes on standard error, a line each.

Exit codes: 0 printed; 1 bad input, told in one line per mistake
(file:document: kind/name: what), with nothing printed; 2 a wrong command line.`,
		Example: `  novawire preview examples/nova.yaml
  novawire preview -o diff deploy/
  kubectl get deployment feed -o yaml | novawire preview --explain -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("preview: name a file, a directory, or - for standard input")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPreview(flags, args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&flags.output, "output", "o", "yaml", "yaml, json, or diff")
	cmd.Flags().StringVarP(&flags.namespace, "namespace", "n", "default", "namespace of objects that name none")
	cmd.Flags().StringVar(&flags.config, "config", "", "the manager's configuration file")
	cmd.Flags().BoolVar(&flags.explain, "explain", false, "list each decision with its rule and source, instead of manifests")
	return cmd
}

func runPreview(flags previewFlags, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if !slices.Contains([]string{"yaml", "json", "diff"}, flags.output) {
		return usageError{fmt.Errorf("preview: output %q: use yaml, json or diff", flags.output)}
	}
	c, err := readConfig(flags.config)
	if err != nil {
		return err
	}
	if flags.config != "" && c.unversioned() {
		fmt.Fprintln(stderr, "warning: "+versionWarning)
	}
	engine, err := inject.New(c.Injection)
	if err != nil {
		return err
	}
	documents, errRead := preview.Read(paths, stdin)
	documents, objects, errWire := preview.Wire(documents, preview.Options{
		Engine: engine, Namespace: flags.namespace, Explain: flags.explain, Generate: c.Backup.Preview,
	})
	if err := errors.Join(errRead, errWire); err != nil {
		return err
	}
	if flags.explain {
		return preview.WriteExplanation(stdout, objects)
	}
	preview.WriteWarnings(stderr, objects)
	switch flags.output {
	case "json":
		return preview.WriteJSON(stdout, documents)
	case "diff":
		return preview.WriteDiff(stdout, documents, isTerminal(stdout))
	}
	return preview.WriteYAML(stdout, documents)
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
