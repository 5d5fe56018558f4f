package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/kubernetes"
)

// completionTimeout bounds how long a shell waits for the cluster. After it there are
// no suggestions.
const completionTimeout = 3 * time.Second

// complete returns a completion function that asks the cluster. Suggestions come from
// ask; those that do not begin with the word under the cursor are left out.
func (c *clusterFlags) complete(namespace *string, ask func(ctx context.Context, cluster *kubernetes.Client, namespace string, args []string) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		given := ""
		if namespace != nil {
			given = *namespace
		}
		cluster, in, err := c.open(given)
		if err != nil {
			cobra.CompErrorln(err.Error())
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		suggestions, err := ask(ctx, cluster, in, args)
		if err != nil {
			cobra.CompErrorln(err.Error())
		}
		slices.Sort(suggestions)
		return slices.DeleteFunc(slices.Compact(suggestions), func(s string) bool { return !strings.HasPrefix(s, word) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNamespaces completes the flag --namespace, and --context from the kubeconfig.
func (c *clusterFlags) completeNamespaces(cmd *cobra.Command) {
	suggest(cmd, "namespace", c.namespaces(0))
	c.completeContexts(cmd)
}

// namespaces suggests namespaces: for a flag, or for the first of so many arguments.
func (c *clusterFlags) namespaces(arguments int) cobra.CompletionFunc {
	return c.complete(nil, func(ctx context.Context, cluster *kubernetes.Client, _ string, args []string) ([]string, error) {
		if arguments > 0 && len(args) >= arguments { // all are given
			return nil, nil
		}
		namespaces, err := kubernetes.Namespaces.List(ctx, cluster, "", metav1.ListOptions{})
		names := make([]string, len(namespaces))
		for i, ns := range namespaces {
			names[i] = ns.Name
		}
		return names, err
	})
}

// completeContexts completes the flag --context from the kubeconfig.
func (c *clusterFlags) completeContexts(cmd *cobra.Command) {
	suggest(cmd, "context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		config, err := c.loader().RawConfig()
		if err != nil {
			cobra.CompErrorln(err.Error())
		}
		names := make([]string, 0, len(config.Contexts))
		for name := range config.Contexts {
			names = append(names, name)
		}
		slices.Sort(names)
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// completeSources completes the argument KIND/NAME with what has backups, and with
// StatefulSets that request them.
func (c *clusterFlags) completeSources(namespace *string) cobra.CompletionFunc {
	complete := c.complete(namespace, func(ctx context.Context, cluster *kubernetes.Client, namespace string, _ []string) ([]string, error) {
		sets, err := kubernetes.StatefulSets.List(ctx, cluster, namespace, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		var names []string
		for _, s := range sets {
			if s.Annotations[backupapi.AnnotationEnabled] == "true" {
				names = append(names, "sts/"+s.Name)
			}
		}
		states, err := listStatuses(ctx, cluster, namespace)
		for _, s := range states {
			name := s.StatefulSet
			if !strings.Contains(name, "/") {
				name = "sts/" + name
			}
			names = append(names, name)
		}
		return names, err
	})
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, word)
	}
}

// completeDatabases completes a flag with what the status says of each database of the
// object on the command line.
func (c *clusterFlags) completeDatabases(cmd *cobra.Command, flag string, namespace *string, of func(backupapi.DatabaseStatus) string) {
	suggest(cmd, flag, c.complete(namespace, func(ctx context.Context, cluster *kubernetes.Client, namespace string, args []string) (values []string, err error) {
		source, err := parseSource(args)
		if err != nil {
			return nil, err
		}
		states, err := listStatuses(ctx, cluster, namespace)
		for _, s := range states {
			if s.StatefulSet != source.Reference() {
				continue
			}
			for _, d := range s.Databases {
				if value := of(d); value != "" {
					values = append(values, value)
				}
			}
		}
		return values, err
	}))
}

// complete completes the argument and the flags of a command that has them.
func (f *backupFlags) complete(cmd *cobra.Command) {
	f.cluster.completeNamespaces(cmd)
	cmd.ValidArgsFunction = f.cluster.completeSources(&f.namespace)
	f.cluster.completeDatabases(cmd, "database", &f.namespace, func(d backupapi.DatabaseStatus) string { return d.Name })
	// The status knows the newest backup of each database and no others.
	f.cluster.completeDatabases(cmd, "backup", &f.namespace, func(d backupapi.DatabaseStatus) string { return d.Backup })
	suggestValues(cmd, "output", "table", "json")
}

// suggestValues registers the values of a flag.
func suggestValues(cmd *cobra.Command, flag string, values ...string) {
	suggest(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// suggest registers the completion of a flag, if the command has it.
func suggest(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if cmd.Flags().Lookup(flag) == nil {
		return
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic("complete --" + flag + ": " + err.Error()) // registered twice
	}
}
