package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/workload"
)

type statusFlags struct {
	cluster           clusterFlags
	namespace, system string
	config            string
	display           display
}

func statusCommand() *cobra.Command {
	var flags statusFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "status [KIND/NAME]",
		Short: "Show what is wired in the cluster, in a namespace, or of a workload",
		Long: `Shows how many running pods are wired, missing, stale (wired with another configuration or
sidecar image), changed (by something else, after they were wired) and skipped, compared with
the configuration of the cluster's manager, and the ages of the last backup and of the last
verified restore. Without flags there is a line for each namespace that opted in; with
--namespace, one for each workload and each database; with KIND/NAME, one for each pod. Service names that
cannot be told apart, or that change with each run, follow as notes.

The caller needs the rights to list pods, namespaces, CronJobs and StatefulSets. novawire
explain says why a pod is not wired.

Exit codes: 0 success, 1 the cluster did not answer, 2 a wrong command line.`,
		Example: `  novawire status
  novawire status -n nova --watch
  novawire status deploy/feed -n nova -o yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if all && (flags.namespace != "" || len(args) > 0) {
				return commandline.UsageError("status: --all-namespaces takes no namespace and no workload")
			}
			_, err := statusWorkload(args)
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.display.check("status"); err != nil {
				return err
			}
			return flags.run(cmd, args)
		},
	}
	f := cmd.Flags()
	flags.cluster.register(f)
	f.StringVarP(&flags.namespace, "namespace", "n", "", "only this namespace; default: all, or with KIND/NAME that of the kubeconfig's context")
	f.BoolVarP(&all, "all-namespaces", "A", false, "all namespaces, as by default")
	f.StringVar(&flags.system, "system-namespace", defaultNamespace, "namespace of the manager")
	f.StringVar(&flags.config, "config", "", "the manager's configuration file; default: the cluster's")
	flags.display.register(f)
	flags.cluster.completeNamespaces(cmd)
	cmd.ValidArgsFunction = flags.cluster.completeExplained(&flags.namespace)
	suggestValues(cmd, "output", "table", "json", "yaml")
	return cmd
}

// statusWorkload parses the argument; the zero value is every workload.
func statusWorkload(args []string) (workload.Owner, error) {
	if len(args) == 0 {
		return workload.Owner{}, nil
	}
	kind, name, found := strings.Cut(args[0], "/")
	k, known := explainedKinds[strings.ToLower(kind)]
	if len(args) > 1 || !found || !known || name == "" || k.template == nil {
		return workload.Owner{}, commandline.UsageError("status: %q: name one workload, as deploy/NAME, sts/NAME, ds/NAME, job/NAME or cronjob/NAME", strings.Join(args, " "))
	}
	return workload.Owner{Kind: k.kind, Name: name}, nil
}

func (f statusFlags) run(cmd *cobra.Command, args []string) error {
	only, err := statusWorkload(args)
	if err != nil {
		return err
	}
	cluster, namespace, err := f.cluster.open(f.namespace)
	if err != nil {
		return err
	}
	if f.namespace == "" && only.Kind == "" {
		namespace = ""
	}
	return f.display.run(cmd, func(ctx context.Context) ([]byte, error) {
		return f.show(ctx, cluster, namespace, only, cmd.ErrOrStderr())
	})
}

// show reads the cluster once and returns its state in the output's form.
func (f statusFlags) show(ctx context.Context, cluster *kubernetes.Client, namespace string, only workload.Owner, stderr io.Writer) ([]byte, error) {
	in, err := readInstallation(ctx, cluster, f.system, f.config)
	if err != nil {
		return nil, err
	}
	namespaces, pods, err := in.survey(ctx, cluster, namespace)
	if err != nil {
		return nil, err
	}
	backups, err := listStatuses(ctx, cluster, namespace)
	if err != nil {
		in.note("backups cannot be read: %v", err)
	}
	for _, note := range in.notes {
		fmt.Fprintln(stderr, "note: "+note)
	}
	s := summarize(in, namespaces, pods, backups, only)
	if namespace != "" && len(namespaces) == 0 {
		s.Notes = append(s.Notes, notOptedIn(namespace))
	}
	return f.display.encode(s, func(w io.Writer) error { return s.writeTable(w, namespace != "", only.Kind != "", time.Now()) })
}

func notOptedIn(namespace string) string {
	return fmt.Sprintf("the namespace %s did not opt in: kubectl label namespace %s nova.dev/wiring=enabled", namespace, namespace)
}

func writeYAML(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text, err := yaml.JSONToYAML(raw)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
