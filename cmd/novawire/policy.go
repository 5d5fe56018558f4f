package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/config"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/webhook/policy"
)

func policyCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Print the wiring of pods as a MutatingAdmissionPolicy, for a cluster without the webhook",
		Long: `Prints the wiring of pods as a MutatingAdmissionPolicy with its binding. The API server
(Kubernetes 1.36 or later) then wires pods itself, without a webhook in their path. The
configuration is part of the policy: print and apply it again after a change. A namespace with
a configuration of its own gets a policy of its own.

A policy does less than the webhook. A pod that needs more is left alone as a whole, and its
annotation inject.nova.dev/status says why. The comments at the beginning of the output list
what that is. It needs no cluster.

Exit codes: 0 printed; 1 the configuration is wrong or needs what a policy cannot do, and
nothing is printed; 2 a wrong command line.`,
		Example: `  name=$(kubectl -n novawire-system get deployment novawire -o jsonpath='{.spec.template.spec.volumes[0].projected.sources[0].configMap.name}')
  kubectl -n novawire-system get configmap "$name" -o jsonpath='{.data.config\.yaml}' > config.yaml
  novawire policy --config config.yaml | kubectl apply --server-side -f -`,
		Args: commandline.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPolicy(file, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the manager's configuration file")
	return cmd
}

func runPolicy(file string, stdout, stderr io.Writer) error {
	c, err := config.Read(file, os.Getenv(config.EnvImage))
	if err != nil {
		return err
	}
	text, err := policy.Write(c.Injection)
	if err != nil {
		return fmt.Errorf("injection: %w", err)
	}
	if file != "" && c.Unversioned() {
		fmt.Fprintln(stderr, "warning: "+config.VersionWarning)
	}
	for _, warning := range policy.Warnings(c.Injection) {
		fmt.Fprintln(stderr, "warning: "+warning)
	}
	_, err = stdout.Write(text)
	return err
}
