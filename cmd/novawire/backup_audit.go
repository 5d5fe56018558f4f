package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/config"
	"github.com/nova/novawire/controller/audit"
	"github.com/nova/novawire/internal/commandline"
	"github.com/nova/novawire/internal/kubernetes"
)

type auditFlags struct {
	cluster   clusterFlags
	namespace string
	config    string
	output    string
	secrets   bool
}

func backupAuditCommand() *cobra.Command {
	var flags auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List every PostgreSQL database of the cluster and whether it is backed up",
		Long: `Lists the PostgreSQL databases that it recognizes: StatefulSets and Deployments by image,
command or port, clusters of CloudNativePG and of the Zalando operator, ExternalName Services
and, with --secrets, Secrets that hold the URL of a database outside of the cluster. For each
it shows the age of the oldest last backup and of the oldest last verified restore of its
databases, or why it is not backed up and how to change that.

The caller needs the right to list these kinds. Kinds that it may not list are named on
standard error.

Exit codes: 0 every database is protected or exempt, 1 a database is unprotected or the
cluster did not answer, 2 a wrong command line.`,
		Example: "  novawire backup audit\n  novawire backup audit -n nova -o json",
		Args:    commandline.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBackupAudit(cmd, flags)
		},
	}
	f := cmd.Flags()
	flags.cluster.register(f)
	f.StringVarP(&flags.namespace, "namespace", "n", "", "only this namespace; default: all")
	f.StringVar(&flags.config, "config", "", "the manager's configuration file, for its default bucket")
	f.StringVarP(&flags.output, "output", "o", "table", "table or json")
	f.BoolVar(&flags.secrets, "secrets", false, "also read Secrets")
	flags.cluster.completeNamespaces(cmd)
	suggestValues(cmd, "output", "table", "json")
	return cmd
}

func runBackupAudit(cmd *cobra.Command, flags auditFlags) error {
	if flags.output != "table" && flags.output != "json" {
		return commandline.UsageError("backup audit: output %q: use table or json", flags.output)
	}
	c, err := config.Read(flags.config, os.Getenv(config.EnvImage))
	if err != nil {
		return err
	}
	connection, err := flags.cluster.connect()
	if err != nil {
		return err
	}
	cluster, err := kubernetes.New(connection)
	if err != nil {
		return err
	}
	defaults := c.Backup.DefaultRequest()
	if flags.config == "" {
		defaults.BucketRoot = "s3://unknown" // the controller knows the configuration and has recorded refusals
	}
	report, err := audit.Run(cmd.Context(), cluster, audit.Options{Namespace: flags.namespace, Defaults: defaults, Secrets: flags.secrets})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := writeReport(cmd.OutOrStdout(), report, flags.output, time.Now()); err != nil {
		return err
	}
	for _, skipped := range report.Skipped {
		fmt.Fprintln(cmd.ErrOrStderr(), "not audited: "+skipped)
	}
	if n := report.Unprotected(); n > 0 {
		return fmt.Errorf("%d of %d PostgreSQL databases are not protected", n, len(report.Databases))
	}
	return nil
}

func writeReport(w io.Writer, report audit.Report, output string, now time.Time) error {
	if output == "json" {
		if report.Databases == nil {
			report.Databases = []audit.Database{}
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tKIND\tNAME\tPROTECTED\tLAST BACKUP\tLAST RESTORE\tREASON\tFIX")
	for _, d := range report.Databases {
		protected := "yes"
		switch {
		case d.Reason == audit.Exempt:
			protected = "exempt"
		case !d.Protected:
			protected = "NO"
		}
		row := []string{d.Namespace, d.Kind, d.Name, protected, age(d.LastSuccess, now), age(d.LastVerified, now), orDash(d.Message), orDash(d.Fix)}
		fmt.Fprintln(table, line(row))
	}
	return table.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
