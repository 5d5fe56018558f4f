package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nova/novawire/controller/backup/resources"
	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Run backups and drills now, list and restore them, and show how they stand",
		Long: `Drives the Jobs that annotated StatefulSets have: in the StatefulSet's own image, with the
credentials that its CronJobs have, and with the rights of whoever calls. What a Job
prints is shown as it comes; Ctrl-C ends the watching, not the Job.

Exit codes: 0 success, 1 it failed (the category is the last word), 2 a wrong command line.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		backupNowCommand("now", "Back a StatefulSet up now", false),
		backupNowCommand("drill", "Restore the newest backups into a throw-away server now, and compare", true),
		backupStatusCommand(), backupListCommand(), backupVerifyCommand(), backupRestoreCommand(),
	)
	return cmd
}

// backupFlags say where a StatefulSet is, and how long to wait for what.
type backupFlags struct {
	cluster   clusterFlags
	namespace string
	start     time.Duration
}

func (f *backupFlags) register(cmd *cobra.Command) {
	f.cluster.register(cmd.Flags())
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "namespace of the StatefulSet; else that of the kubeconfig's context")
	cmd.Flags().DurationVar(&f.start, "start-timeout", 5*time.Minute, "how long the Job may take to begin")
}

// backupClient is a StatefulSet's CronJobs and the way to them.
type backupClient struct {
	cluster        kubernetes.Interface
	namespace      string
	statefulSet    string
	start          time.Duration
	stdout, stderr io.Writer
}

func (f *backupFlags) open(cmd *cobra.Command, args []string) (*backupClient, error) {
	name, err := statefulSetName(args)
	if err != nil {
		return nil, err
	}
	cluster, namespace, err := f.cluster.open(f.namespace)
	if err != nil {
		return nil, err
	}
	return &backupClient{
		cluster: cluster, namespace: namespace, statefulSet: name, start: f.start,
		stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(),
	}, nil
}

// statefulSetName reads sts/NAME, in the forms that kubectl takes.
func statefulSetName(args []string) (string, error) {
	if len(args) != 1 {
		return "", usageError{errors.New("backup: name one StatefulSet, as sts/NAME")}
	}
	kind, name, ok := strings.Cut(args[0], "/")
	if !ok {
		kind, name = "sts", args[0]
	}
	switch kind {
	case "sts", "statefulset", "statefulsets", "statefulset.apps", "statefulsets.apps":
		if name != "" && !strings.Contains(name, "/") {
			return name, nil
		}
	}
	return "", usageError{fmt.Errorf("backup: %q: name a StatefulSet, as sts/NAME", args[0])}
}

// oneStatefulSet is a [cobra.PositionalArgs].
func oneStatefulSet(_ *cobra.Command, args []string) error {
	_, err := statefulSetName(args)
	return err
}

// cronJobs are those of the StatefulSet; it may be gone, and they kept. The
// drill's may be missing.
func (b *backupClient) cronJobs(ctx context.Context) (backup, drill *batchv1.CronJob, err error) {
	jobs := b.cluster.BatchV1().CronJobs(b.namespace)
	backup, err = jobs.Get(ctx, resources.BackupName(b.statefulSet), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("StatefulSet %s/%s is not backed up: it has no CronJob %s (see novawire backup status)", b.namespace, b.statefulSet, resources.BackupName(b.statefulSet))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the CronJob: %w", err)
	}
	drill, err = jobs.Get(ctx, resources.DrillName(b.statefulSet), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return backup, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the CronJob: %w", err)
	}
	return backup, drill, nil
}

func backupListCommand() *cobra.Command {
	var flags backupFlags
	var database, output string
	cmd := &cobra.Command{
		Use:     "list sts/NAME",
		Short:   "Show the backups that a StatefulSet has in its bucket",
		Long:    "Runs pg-backup list in a Job, and shows what it prints.\n\nExit codes: 0 shown, 1 it failed, 2 a wrong command line.",
		Example: "  novawire backup list sts/postgres -n nova",
		Args:    oneStatefulSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.runVerb(cmd, args, resources.VerbList, flagArgs("--database", database, "--output", output))
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&database, "database", "", "only this database's")
	cmd.Flags().StringVarP(&output, "output", "o", "", "table or json")
	return cmd
}

func backupVerifyCommand() *cobra.Command {
	var flags backupFlags
	var database, backup string
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify sts/NAME",
		Short: "Read every byte of a backup, and compare it with its manifest",
		Long:  "Runs pg-backup verify in a Job, and shows what it prints.\n\nExit codes: 0 it is what it says, 1 it is not, or could not be read, 2 a wrong command line.",
		Args:  oneStatefulSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			more := flagArgs("--database", database, "--backup", backup)
			if deep {
				more = append(more, "--deep")
			}
			return flags.runVerb(cmd, args, resources.VerbVerify, more)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&database, "database", "", "only this database's")
	cmd.Flags().StringVar(&backup, "backup", "", "the backup's id, as list shows it; else the newest")
	cmd.Flags().BoolVar(&deep, "deep", false, "have pg_restore read it too")
	return cmd
}

func backupRestoreCommand() *cobra.Command {
	var flags backupFlags
	var database, to, backup, only string
	var globals bool
	cmd := &cobra.Command{
		Use:   "restore sts/NAME --database DATABASE",
		Short: "Restore a database into the server that it was backed up from",
		Long: `Runs pg-backup restore in a Job, and shows how it goes. The target is made, or has to be
empty: anything else is refused. A StatefulSet's CronJobs are enough to restore from, say
where it was deleted; DATABASE_URL has to reach a server.

Exit codes: 0 restored, 1 it failed, and the target is not to be used, 2 a wrong command line.`,
		Example: `  novawire backup restore sts/postgres -n nova --database nova_auth --to nova_auth_copy
  novawire backup restore sts/postgres -n nova --database nova_auth --backup 20261122T010000Z-1a2b3c`,
		Args: oneStatefulSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			if database == "" {
				return usageError{errors.New("backup restore: name the database: --database")}
			}
			more := flagArgs("--database", database, "--to", to, "--backup", backup, "--only", only)
			if globals {
				more = append(more, "--globals")
			}
			return flags.runVerb(cmd, args, resources.VerbRestore, more)
		},
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&database, "database", "", "the database whose backup it is (needed)")
	f.StringVar(&to, "to", "", "the database to make; else one of the same name")
	f.StringVar(&backup, "backup", "", "the backup's id, as list shows it; else the newest")
	f.StringVar(&only, "only", "", "only these schemas, or tables as schema.table, separated by commas")
	f.BoolVar(&globals, "globals", false, "also make the roles and tablespaces, as far as they are not there")
	return cmd
}

// flagArgs lists the flags that have a value, as one word each: a value may begin
// with a dash.
func flagArgs(pairs ...string) (args []string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			args = append(args, pairs[i]+"="+pairs[i+1])
		}
	}
	return args
}
