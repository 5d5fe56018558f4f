package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/config"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/webhook/diagnosis"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/preview"
)

type explainFlags struct {
	cluster           clusterFlags
	namespace, system string
	config, output    string
	verify            bool
}

func explainCommand() *cobra.Command {
	var flags explainFlags
	cmd := &cobra.Command{
		Use:   "explain KIND/NAME|FILE",
		Short: "Explain how a pod or workload is wired, or why it is not",
		Long: `Explains one pod or workload of a cluster, or the manifests of a file.

Of a pod it tells the state and, if the pod is not wired, the reason and the commands that
mend it; of a workload, those of its pods. Then each value follows that the webhook
sets, with its rule and its source, by the configuration of the cluster's manager. KIND is
pod, deployment, statefulset, daemonset, job or cronjob, or its short name.

To find the reason it reads the namespace, the webhook configurations and the manager. If
these do not tell, it asks the API server to create the pod in a dry run, which stores nothing;
the caller needs the right to create pods. A word without a slash that names no kind is a
FILE, a folder, or - for standard input: that needs no cluster and explains like
preview --explain.

With --verify it answers an auditor: it makes the wiring again, from the template that the pod
was created from and the configuration, and compares each part that the webhook writes. It
prints verified, or the fields that differ, or why it cannot tell: the pod was wired with
another configuration (--config names the file that was in use then), or nothing describes the pod. A FILE must hold the pods and their owners.

Exit codes: 0 wired or verified, or a file; 1 a pod is not wired as its configuration says, or not
verified, or the cluster did not answer; 2 a wrong command line.`,
		Example: `  novawire explain pod/feed-5d8f7c9b46-x2v9k -n nova
  novawire explain deploy/feed -n nova -o json
  novawire explain --verify deploy/feed -n nova
  novawire explain examples/nova.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return commandline.UsageError("explain: name one pod or workload, as pod/NAME or deploy/NAME, or a file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.output != "text" && flags.output != "json" {
				return commandline.UsageError("explain: output %q: use text or json", flags.output)
			}
			return flags.run(cmd, args[0])
		},
	}
	f := cmd.Flags()
	flags.cluster.register(f)
	f.StringVarP(&flags.namespace, "namespace", "n", "", "namespace of the object; default: that of the kubeconfig's context")
	f.StringVar(&flags.system, "system-namespace", defaultNamespace, "namespace of the manager")
	f.StringVar(&flags.config, "config", "", "the manager's configuration file; default: the cluster's")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json")
	f.BoolVar(&flags.verify, "verify", false, "make the wiring again from the template of the pod's owner, and compare")
	flags.cluster.completeNamespaces(cmd)
	cmd.ValidArgsFunction = flags.cluster.completeExplained(&flags.namespace)
	suggestValues(cmd, "output", "text", "json")
	return cmd
}

func (f explainFlags) run(cmd *cobra.Command, argument string) error {
	kind, name, isObject := strings.Cut(argument, "/")
	k, known := explainedKinds[strings.ToLower(kind)]
	_, err := os.Stat(argument)
	if argument == "-" {
		err = nil // standard input
	}
	if !isObject || !known || name == "" || err == nil {
		if isObject && errors.Is(err, os.ErrNotExist) && !strings.Contains(name, ".") {
			return commandline.UsageError("explain: %q is not a file, and the kind %q is not one of pod, deployment, statefulset, daemonset, job and cronjob", argument, kind)
		}
		if !isObject && errors.Is(err, os.ErrNotExist) && !strings.Contains(name, ".") {
			return commandline.UsageError("explain: %q is not a file; an object of the cluster is named as deploy/%s or pod/%s", argument, argument, argument)
		}
		if f.verify {
			return f.verifyFile(cmd, argument)
		}
		return f.explainFile(cmd, argument)
	}
	cluster, namespace, err := f.cluster.open(f.namespace)
	if err != nil {
		return err
	}
	in, err := readInstallation(cmd.Context(), cluster, f.system, f.config)
	if err != nil {
		return err
	}
	e := explainer{cluster: cluster, in: in, namespace: namespace, programs: f.cluster.programs(cmd.Root().DisplayName())}
	if f.verify {
		return e.verify(cmd.Context(), cmd, k, name, f.output)
	}
	found, err := e.explain(cmd.Context(), k, name)
	for _, note := range in.notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: "+note)
	}
	if err != nil {
		return err
	}
	if err := found.write(cmd.OutOrStdout(), f.output); err != nil {
		return err
	}
	if n := len(found.unwired()); n > 0 {
		return fmt.Errorf("%s not wired", count(n, "pod"))
	}
	return nil
}

// programs returns the programs of commands that users copy. They select the same cluster.
func (c clusterFlags) programs(novawire string) diagnosis.Programs {
	flags := ""
	if c.kubeconfig != "" {
		flags += " --kubeconfig=" + shellWord(c.kubeconfig)
	}
	if c.context != "" {
		flags += " --context=" + shellWord(c.context)
	}
	return diagnosis.Programs{Kubectl: "kubectl" + flags, Novawire: novawire, NovawireFlags: flags}
}

// shellWord quotes a value for a command that users copy, if it needs quotes.
func shellWord(value string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+,="
	if value != "" && strings.Trim(value, plain) == "" {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// explainFile explains manifests without a cluster.
func (f explainFlags) explainFile(cmd *cobra.Command, path string) error {
	c, err := config.Read(f.config, os.Getenv(config.EnvImage))
	if err != nil {
		return err
	}
	engine, err := inject.New(c.Injection)
	if err != nil {
		return err
	}
	namespace := f.namespace
	if namespace == "" {
		namespace = "default"
	}
	documents, errRead := preview.Read([]string{path}, cmd.InOrStdin())
	documents, objects, errWire := preview.Wire(documents, preview.Options{Engine: engine, Namespace: namespace, Explain: true, Generate: c.Backup.Preview})
	if err := errors.Join(errRead, errWire); err != nil {
		return err
	}
	if len(objects) > 0 && !preview.HasNamespace(documents) {
		fmt.Fprintln(cmd.ErrOrStderr(), "explain: the input has no Namespace: all objects are treated as opted in")
	}
	if f.output == "json" {
		return writeJSON(cmd.OutOrStdout(), fileExplanations(objects))
	}
	return preview.WriteExplanation(cmd.OutOrStdout(), objects)
}

// fileExplanation is one pod template of `explain FILE -o json`.
type fileExplanation struct {
	Where string `json:"where"`
	// NotWired is why no decision was made.
	NotWired string `json:"notWired,omitempty"`
	*decision
}

func fileExplanations(objects []preview.Object) []fileExplanation {
	all := []fileExplanation{}
	for _, o := range objects {
		e := fileExplanation{Where: o.Where, NotWired: o.Excluded}
		switch {
		case o.Uninspected != "":
			e.NotWired = "containers in " + o.Uninspected + " are not in a pod template"
		case o.Excluded == "":
			e.decision = newDecision(o.Result)
		}
		all = append(all, e)
	}
	return all
}

// decision is the engine's decision in JSON.
type decision struct {
	Action inject.Action `json:"action"`
	Reason inject.Reason `json:"reason"`
	Notes  []string      `json:"notes,omitempty"`
	Values []valueLine   `json:"values,omitempty"`
}

type valueLine struct {
	Container string `json:"container,omitempty"` // "" for the whole pod
	Subject   string `json:"subject"`
	Value     string `json:"value"`
	Rule      string `json:"rule"`
	Source    string `json:"source"`
}

func newDecision(r inject.Result) *decision {
	d := &decision{Action: r.Action, Reason: r.Reason}
	for _, n := range r.Notes {
		d.Notes = append(d.Notes, string(n.Reason)+": "+n.String())
	}
	for _, l := range r.Explanation {
		d.Values = append(d.Values, valueLine(l))
	}
	return d
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // commands have pipes and ampersands
	return encoder.Encode(v)
}

// completeExplained completes KIND/NAME with the pods and workloads of the namespace.
func (c *clusterFlags) completeExplained(namespace *string) cobra.CompletionFunc {
	complete := c.complete(namespace, func(ctx context.Context, cluster *kubernetes.Client, namespace string, _ []string) ([]string, error) {
		var names []string
		var mistakes []error
		for short, kind := range map[string]explainedKind{"pod": explainedKinds["pod"], "deploy": explainedKinds["deploy"], "sts": explainedKinds["sts"], "ds": explainedKinds["ds"]} {
			found, err := kind.list(ctx, cluster, namespace)
			mistakes = append(mistakes, err)
			for _, name := range found {
				names = append(names, short+"/"+name)
			}
		}
		return names, errors.Join(mistakes...)
	})
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, directive := complete(cmd, args, word)
		if len(names) == 0 && !slices.Contains([]string{"pod", "deploy"}, strings.SplitN(word, "/", 2)[0]) {
			return nil, cobra.ShellCompDirectiveDefault // a file
		}
		return names, directive
	}
}
