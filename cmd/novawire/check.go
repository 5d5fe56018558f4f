package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/nova/novawire/internal/kubernetes"
)

// The default Service of an installation.
const (
	defaultNamespace = "novawire-system"
	defaultService   = "novawire"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check an installation for problems",
	}
	cmd.AddCommand(checkCertsCommand())
	return cmd
}

// clusterFlags select a cluster, with the names and rules of kubectl.
type clusterFlags struct{ kubeconfig, context string }

func (c *clusterFlags) register(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig file; default: $KUBECONFIG, ~/.kube/config or the pod's service account")
	f.StringVar(&c.context, "context", "", "context of the kubeconfig; default: the current one")
}

func (c clusterFlags) connect() (*rest.Config, error) {
	config, err := c.loader().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	return config, nil
}

func (c clusterFlags) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.context})
}

// open returns a client and the namespace: the given one, else that of the context.
func (c clusterFlags) open(namespace string) (*kubernetes.Client, string, error) {
	config, err := c.connect()
	if err != nil {
		return nil, "", err
	}
	config.WarningHandler = rest.NewWarningWriter(os.Stderr, rest.WarningWriterOptions{Deduplicate: true})
	cluster, err := kubernetes.New(config)
	if err != nil {
		return nil, "", err
	}
	if namespace == "" {
		if namespace, _, err = c.loader().Namespace(); err != nil {
			return nil, "", fmt.Errorf("find the namespace: %w", err)
		}
	}
	return cluster, namespace, nil
}

// findings prints a line for each check and counts the problems.
type findings struct {
	out      io.Writer
	problems int
}

func (f *findings) ok(format string, args ...any) {
	fmt.Fprintf(f.out, "ok       "+format+"\n", args...)
}

func (f *findings) problem(format string, args ...any) {
	f.problems++
	fmt.Fprintf(f.out, "problem  "+format+"\n", args...)
}

// result returns an error if there were problems.
func (f *findings) result() error {
	switch f.problems {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("1 problem found")
	}
	return fmt.Errorf("%d problems found", f.problems)
}
