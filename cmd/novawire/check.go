package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/webhook/diagnosis"
)

// The default Service of an installation.
const (
	defaultNamespace = "novawire-system"
	defaultService   = "novawire"
)

type checkFlags struct {
	cluster           clusterFlags
	namespace, output string
	config            string
	timeout           time.Duration
}

func (f *checkFlags) register(cmd *cobra.Command) {
	f.cluster.register(cmd.Flags())
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", defaultNamespace, "namespace of the manager")
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table or json")
	cmd.Flags().StringVar(&f.config, "config", "", "the manager's configuration file; default: the cluster's")
	cmd.Flags().DurationVar(&f.timeout, "timeout", time.Minute, "time limit of the whole check")
	f.cluster.completeNamespaces(cmd)
	suggestValues(cmd, "output", "table", "json")
}

func checkCommand() *cobra.Command {
	var flags checkFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the cluster and the installation for problems",
		Long: `Checks, and prints a line for each: the API server's version; the webhook configurations as
installed against as shipped; the replicas and certificates of the webhook; the rights of the
manager and of the caller; custom resource definitions; in each opted-in namespace, quotas, limits and
Pod Security against the sidecar; service names that cannot be distinguished; Secrets that
backups need; versions. ok needs nothing, warn is worth a look or could not be
checked, fail means that something does not work. A fix follows on the next line.

Exit codes: 0 no failure, 1 a failure was found or the cluster did not answer, 2 a wrong
command line.`,
		Example: "  novawire check\n  novawire check -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd, checkAll)
		},
	}
	flags.register(cmd)
	cmd.AddCommand(checkCertsCommand(), checkWebhooksCommand())
	return cmd
}

// checker is what the parts of a check share.
type checker struct {
	*findings
	connection *rest.Config
	cluster    *kubernetes.Client
	in         *installation
}

// run connects and calls a check.
func (f *checkFlags) run(cmd *cobra.Command, check func(context.Context, *checker)) error {
	if f.output != "table" && f.output != "json" {
		return commandline.UsageError("check: output %q: use table or json", f.output)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	connection, err := f.cluster.connect()
	if err != nil {
		return err
	}
	connection.QPS = -1 // many small questions; the API server limits by itself
	cluster, err := kubernetes.New(connection)
	if err != nil {
		return err
	}
	in, err := readInstallation(ctx, cluster, f.namespace, f.config)
	if err != nil {
		return err
	}
	found := &findings{programs: f.cluster.programs(cmd.Root().DisplayName())}
	check(ctx, &checker{findings: found, connection: connection, cluster: cluster, in: in})
	return found.finish(cmd.OutOrStdout(), f.output)
}

// clusterFlags select a cluster, with the names and rules of kubectl.
type clusterFlags struct{ kubeconfig, context string }

func (c *clusterFlags) register(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig file; default: $KUBECONFIG, ~/.kube/config or the pod's service account")
	f.StringVar(&c.context, "context", "", "context of the kubeconfig; default: the current one")
}

func (c clusterFlags) connect() (*rest.Config, error) {
	config, err := c.loader().ClientConfig()
	if clientcmd.IsEmptyConfig(err) { // client-go names a variable that is not for people
		return nil, fmt.Errorf("find the cluster: no kubeconfig in %s: name one with --kubeconfig", strings.Join(clientcmd.NewDefaultClientConfigLoadingRules().Precedence, " or "))
	}
	if missing := (*fs.PathError)(nil); errors.As(err, &missing) && missing.Path == c.kubeconfig {
		return nil, fmt.Errorf("find the cluster: --kubeconfig %s: there is no such file", c.kubeconfig)
	}
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

// level is how bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn"
	levelFail level = "fail"
)

// finding is one line of a check.
type finding struct {
	Level level  `json:"level"`
	Check string `json:"check"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"` // a command, or what to do
}

// findings collects the lines of a check.
type findings struct {
	check    string // the part that is being checked
	programs diagnosis.Programs
	all      []finding
}

func (f *findings) add(l level, fix, format string, args ...any) {
	f.all = append(f.all, finding{Level: l, Check: f.check, Text: strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " "), Fix: fix})
}

func (f *findings) ok(format string, args ...any)        { f.add(levelOK, "", format, args...) }
func (f *findings) warn(fix, format string, args ...any) { f.add(levelWarn, fix, format, args...) }
func (f *findings) fail(fix, format string, args ...any) { f.add(levelFail, fix, format, args...) }

const fixNoAnswer = "see whether `kubectl version` gets an answer; --kubeconfig and --context select another cluster"

// unknown records that something could not be checked. It is a failure if the API server
// gave no answer.
func (f *findings) unknown(what string, err error) {
	if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
		f.fail(fixNoAnswer, "%s not checked: %v", what, err)
		return
	}
	f.warn("ask someone who may read it, or grant the right", "%s not checked: %v", what, err)
}

// finish prints the findings and returns an error if there is a failure.
func (f *findings) finish(w io.Writer, output string) error {
	failures := 0
	for _, found := range f.all {
		if found.Level == levelFail {
			failures++
		}
	}
	if output == "json" {
		if err := writeJSON(w, struct {
			Findings []finding `json:"findings"`
		}{append([]finding{}, f.all...)}); err != nil {
			return err
		}
	} else {
		for _, found := range f.all {
			fmt.Fprintf(w, "%-5s %-10s %s\n", found.Level, found.Check, found.Text)
			if found.Fix != "" {
				fmt.Fprintf(w, "%-16s fix: %s\n", "", found.Fix)
			}
		}
	}
	if failures > 0 {
		return errors.New(count(failures, "problem") + " found")
	}
	return nil
}
