package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Run, list, verify and restore backups, run drills, and show their status",
		Long: `Runs Jobs for annotated StatefulSets, Secrets and Services, in the image and with the
credentials of their CronJobs. The caller needs the rights to create them. The output of the Job is
shown while it runs; Ctrl-C stops the output, not the Job.

Exit codes: 0 success, 1 failure (the message ends with the category), 2 a wrong command line.`,
	}
	cmd.AddCommand(
		backupNowCommand("now", "Back up a database server now", false),
		backupNowCommand("drill", "Restore the newest backups into a temporary server now and compare them", true),
		backupStatusCommand(), backupAuditCommand(), backupEvidenceCommand(), backupListCommand(), backupVerifyCommand(), backupRestoreCommand(),
	)
	return cmd
}

// backupFlags are the flags of the commands that run Jobs.
type backupFlags struct {
	cluster   clusterFlags
	namespace string
	start     time.Duration
}

func (f *backupFlags) register(cmd *cobra.Command) {
	f.cluster.register(cmd.Flags())
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "namespace of the object; default: that of the kubeconfig's context")
	cmd.Flags().DurationVar(&f.start, "start-timeout", 5*time.Minute, "how long to wait for the Job to start")
}

// backupClient runs and follows the Jobs of one source.
type backupClient struct {
	cluster        *kubernetes.Client
	source         backupapi.Source
	start          time.Duration
	stdout, stderr io.Writer
}

func (f *backupFlags) open(cmd *cobra.Command, args []string) (*backupClient, error) {
	source, err := parseSource(args)
	if err != nil {
		return nil, err
	}
	cluster, namespace, err := f.cluster.open(f.namespace)
	if err != nil {
		return nil, err
	}
	source.Namespace = namespace
	return &backupClient{
		cluster: cluster, source: source, start: f.start,
		stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(),
	}, nil
}

// parseSource parses KIND/NAME, in the forms that kubectl accepts, without a namespace.
func parseSource(args []string) (backupapi.Source, error) {
	if len(args) != 1 {
		return backupapi.Source{}, commandline.UsageError("backup: name one object, as sts/NAME, secret/NAME or service/NAME")
	}
	source, ok := backupapi.ParseReference("", args[0])
	if !ok {
		return source, commandline.UsageError("backup: %q: name a StatefulSet, a Secret or a Service, as sts/NAME, secret/NAME or service/NAME", args[0])
	}
	return source, nil
}

// oneSource is a [cobra.PositionalArgs].
func oneSource(_ *cobra.Command, args []string) error {
	_, err := parseSource(args)
	return err
}

// cronJobs returns the CronJobs of the source, which itself may be deleted. The
// drill's is nil if there is none.
func (b *backupClient) cronJobs(ctx context.Context) (backup, drill *batchv1.CronJob, err error) {
	backup, err = kubernetes.CronJobs.Get(ctx, b.cluster, b.source.Namespace, resources.BackupName(b.source))
	if apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("%s is not backed up: CronJob %s does not exist; novawire backup audit shows the reason", b.source, resources.BackupName(b.source))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the CronJob: %w", err)
	}
	drill, err = kubernetes.CronJobs.Get(ctx, b.cluster, b.source.Namespace, resources.DrillName(b.source))
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
	var fromCopy bool
	cmd := &cobra.Command{
		Use:     "list KIND/NAME",
		Short:   "List the backups of a database server in its bucket",
		Long:    "Runs pg-backup list in a Job and shows its output.\n\nExit codes: 0 success, 1 failure, 2 a wrong command line.",
		Example: "  novawire backup list sts/postgres -n nova",
		Args:    oneSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.runVerb(cmd, args, resources.VerbList, flagArgs("--database", database, "--output", output, "--from-copy", trueOrNone(fromCopy)))
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&database, "database", "", "only the backups of this database")
	cmd.Flags().StringVarP(&output, "output", "o", "", "table or json")
	flags.complete(cmd)
	registerFromCopy(cmd, &fromCopy)
	return cmd
}

func backupVerifyCommand() *cobra.Command {
	var flags backupFlags
	var database, backup string
	var deep, fromCopy bool
	cmd := &cobra.Command{
		Use:   "verify KIND/NAME",
		Short: "Read a whole backup and compare it with its manifest",
		Long:  "Runs pg-backup verify in a Job and shows its output.\n\nExit codes: 0 the backup is intact, 1 it is damaged or cannot be read, 2 a wrong command line.",
		Args:  oneSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			more := flagArgs("--database", database, "--backup", backup, "--from-copy", trueOrNone(fromCopy))
			if deep {
				more = append(more, "--deep")
			}
			return flags.runVerb(cmd, args, resources.VerbVerify, more)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&database, "database", "", "only the backups of this database")
	cmd.Flags().StringVar(&backup, "backup", "", "id of the backup, from list; default: the newest")
	cmd.Flags().BoolVar(&deep, "deep", false, "also read it with pg_restore")
	flags.complete(cmd)
	registerFromCopy(cmd, &fromCopy)
	return cmd
}

func backupRestoreCommand() *cobra.Command {
	var flags backupFlags
	var database, to, backup, only string
	var globals, fromCopy bool
	cmd := &cobra.Command{
		Use:   "restore KIND/NAME --database DATABASE",
		Short: "Restore a database into the server that it was backed up from",
		Long: `Runs pg-backup restore in a Job and shows its output. The target database is created or
must be empty; a target with content is refused. The annotated object itself may be deleted: its
CronJobs are enough, but their database connection has to reach a server.

Exit codes: 0 restored, 1 failure: do not use the target, 2 a wrong command line.`,
		Example: `  novawire backup restore sts/postgres -n nova --database nova_auth --to nova_auth_copy
  novawire backup restore sts/postgres -n nova --database nova_auth --backup 20261122T010000Z-1a2b3c`,
		Args: oneSource,
		RunE: func(cmd *cobra.Command, args []string) error {
			if database == "" {
				return commandline.UsageError("backup restore: name the database: --database")
			}
			more := flagArgs("--database", database, "--to", to, "--backup", backup, "--only", only, "--from-copy", trueOrNone(fromCopy))
			if globals {
				more = append(more, "--globals")
			}
			return flags.runVerb(cmd, args, resources.VerbRestore, more)
		},
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&database, "database", "", "database whose backup to restore (required)")
	f.StringVar(&to, "to", "", "database to create; default: the same name")
	f.StringVar(&backup, "backup", "", "id of the backup, from list; default: the newest")
	f.StringVar(&only, "only", "", "restore only these schemas or tables (schema.table), separated by commas")
	f.BoolVar(&globals, "globals", false, "also create missing roles and tablespaces")
	flags.complete(cmd)
	registerFromCopy(cmd, &fromCopy)
	return cmd
}

// registerFromCopy adds the flag with which a verb uses the second store.
func registerFromCopy(cmd *cobra.Command, fromCopy *bool) {
	cmd.Flags().BoolVar(fromCopy, "from-copy", false, "use the second store, of the annotation "+backupapi.AnnotationCopyBucket)
}

// trueOrNone returns the value of a flag that is set, for [flagArgs].
func trueOrNone(set bool) string {
	if set {
		return "true"
	}
	return ""
}

// flagArgs returns the flags that have a value, in the form --flag=value: a value may
// begin with a dash.
func flagArgs(pairs ...string) (args []string) {
	for pair := range slices.Chunk(pairs, 2) {
		if flag, value := pair[0], pair[1]; value != "" {
			args = append(args, flag+"="+value)
		}
	}
	return args
}
