package monitoring

import "time"

// backup watches the backups. The controller stores what it knows on the CronJobs, so
// the series survive restarts. Only the leader exports current ones, hence the max.
func backup() Group {
	commands := []string{
		"novawire backup status sts/STATEFULSET -n NAMESPACE",
		"kubectl -n NAMESPACE describe statefulset STATEFULSET",
		"kubectl -n NAMESPACE get jobs,pods -l backup.nova.dev/statefulset=STATEFULSET",
	}
	return Group{
		Name: "backup", Namespace: "novawire-system", Title: "Backups",
		Alerts: []Alert{
			{
				Name: "NovawireBackupMissed", Severity: Critical, For: 5 * time.Minute,
				Expr:        `time() - max by (namespace, statefulset, database) (novawire_backup_last_success_timestamp_seconds) > 26 * 3600 unless on (namespace, statefulset) novawire_backup_info{suspended="true"}`,
				Summary:     "The last backup of {{ $labels.database }} of {{ $labels.namespace }}/{{ $labels.statefulset }} is {{ $value | humanizeDuration }} old.",
				Description: "`novawire backup status {{ $labels.statefulset }} -n {{ $labels.namespace }}` shows the last run; `novawire backup now` starts one.",
				Meaning:     "No backup was committed for 26 hours. For a schedule that is rarer than daily, raise the limit.",
				Commands:    commands,
				Cause:       "A run failed or did not start: see NovawireBackupFailed, the Events of the object, and whether the CronJob is suspended. Start a run with `novawire backup now sts/STATEFULSET -n NAMESPACE`.",
				Alarm: &Alarm{
					Namespace: backupNamespace, Metric: "BackupSuccess", Per: PerDatabase, Statistic: "Sum", Period: time.Hour, Periods: 26, Datapoints: 26,
					Compare: Below, Threshold: 1, Missing: MissingIsBad,
				},
			},
			{
				Name: "NovawireBackupNever", Severity: Critical, For: 26 * time.Hour,
				Expr:        `max by (namespace, statefulset) (novawire_backup_info{suspended="false"}) unless on (namespace, statefulset) novawire_backup_last_success_timestamp_seconds`,
				Summary:     "{{ $labels.namespace }}/{{ $labels.statefulset }} has no backup.",
				Description: "It has been annotated for a day, and no run has succeeded. `novawire backup status {{ $labels.statefulset }} -n {{ $labels.namespace }}` shows why.",
				Meaning:     "A StatefulSet was annotated for backup 26 hours ago, and no backup was committed.",
				Commands:    commands,
				Cause:       "A missing Secret, a wrong password, a bucket without permission, or an image without PostgreSQL's clients.",
			},
			{
				Name: "NovawireBackupNotVerified", Severity: Warning, For: time.Hour,
				Expr:        `time() - max by (namespace, statefulset, database) (novawire_backup_last_verified_timestamp_seconds) > 100 * 86400 unless on (namespace, statefulset) novawire_backup_info{suspended="true"}`,
				Summary:     "No backup of {{ $labels.database }} of {{ $labels.namespace }}/{{ $labels.statefulset }} was restored for {{ $value | humanizeDuration }}.",
				Description: "`novawire backup drill {{ $labels.statefulset }} -n {{ $labels.namespace }}` starts a restore drill.",
				Meaning:     "The last successful restore drill is more than 100 days old. Without a drill nobody knows whether the backups can be restored.",
				Commands:    append([]string{"novawire backup drill sts/STATEFULSET -n NAMESPACE"}, commands[:2]...),
				Cause:       "A drill failed (often: the scratch volume is too small), or drills are disabled by the annotation.",
				Alarm: &Alarm{
					Namespace: backupNamespace, Metric: "VerifiedRestoreAge", Per: PerDatabase, Statistic: "Maximum", Period: 24 * time.Hour, Periods: 1, Datapoints: 1,
					Compare: Above, Threshold: 100 * 86400, Missing: MissingStays,
				},
			},
			{
				Name: "NovawireBackupFailed", Severity: Warning,
				// A first failure creates the series, so increase() would not see it.
				Expr:        `max by (namespace, statefulset, category) (novawire_backup_failures_total) > (max by (namespace, statefulset, category) (novawire_backup_failures_total offset 6h) or max by (namespace, statefulset, category) (novawire_backup_failures_total) * 0)`,
				Summary:     "A backup or drill of {{ $labels.namespace }}/{{ $labels.statefulset }} failed ({{ $labels.category }}).",
				Description: "docs/backup.md explains the category; the Events of the StatefulSet have the message. Earlier backups are not affected.",
				Meaning:     "A run, a drill or a restore failed in the last six hours. Earlier backups are not affected.",
				Commands:    commands,
				Cause:       "The category says it: the table of exit codes in docs/backup.md.",
				Alarm: &Alarm{
					Namespace: backupNamespace, Metric: "BackupSuccess", Per: PerDatabase, Statistic: "Minimum", Period: time.Hour, Periods: 1, Datapoints: 1,
					Compare: Below, Threshold: 1, Missing: MissingIsGood,
				},
			},
			{
				Name: "NovawireBackupNotCopied", Severity: Warning, For: 5 * time.Minute,
				Expr:        `time() - max by (namespace, statefulset, database) (novawire_backup_last_copied_timestamp_seconds) > 26 * 3600 unless on (namespace, statefulset) novawire_backup_info{suspended="true"}`,
				Summary:     "The newest copy of {{ $labels.database }} of {{ $labels.namespace }}/{{ $labels.statefulset }} in the second store is {{ $value | humanizeDuration }} old.",
				Description: "The backups themselves may be fine: `novawire backup status sts/{{ $labels.statefulset }} -n {{ $labels.namespace }}`. The log of the last run says why the copy failed; the next run tries again.",
				Meaning:     "The second store lacks the backups of the last 26 hours. If the first one is lost now, they are lost too.",
				Commands:    append([]string{"novawire backup list sts/STATEFULSET -n NAMESPACE --from-copy"}, commands[:2]...),
				Cause:       "The second store is not reachable, refuses the credentials of the copy, or the deadline of the run has passed before everything was copied. No backup at all: see NovawireBackupMissed.",
				Alarm: &Alarm{
					Namespace: backupNamespace, Metric: "CopyFailure", Per: PerDatabase, Statistic: "Maximum", Period: time.Hour, Periods: 1, Datapoints: 1,
					Compare: Above, Threshold: 0, Missing: MissingIsGood,
				},
			},
			{
				Name: "NovawireBackupAnomaly", Severity: Warning,
				Expr:        `max by (namespace, statefulset, database) (novawire_backup_anomalies) > 0`,
				Summary:     "{{ $value }} tables of {{ $labels.database }} of {{ $labels.namespace }}/{{ $labels.statefulset }} disappeared or lost 90 % of their rows.",
				Description: "The backup is complete, but the database may have lost data. Protect an older backup from deletion with `pg-backup hold` (docs/runbooks/restore_postgres.md).",
				Meaning:     "Since the previous backup, tables disappeared or lost nine tenths of their rows. The backup itself is complete.",
				Commands:    append([]string{"novawire backup list sts/STATEFULSET -n NAMESPACE"}, commands[:2]...),
				Cause:       "A migration that was intended, or a mistake such as DELETE without WHERE. If it was a mistake, hold an older backup before retention deletes it.",
				Alarm: &Alarm{
					Namespace: backupNamespace, Metric: "BackupAnomalies", Per: PerDatabase, Statistic: "Maximum", Period: time.Hour, Periods: 1, Datapoints: 1,
					Compare: Above, Threshold: 0, Missing: MissingIsGood,
				},
			},
			{
				Name: "NovawireBackupNotGood", Severity: Warning,
				Expr:        `max by (namespace, statefulset, database) (novawire_backup_not_good) > 0`,
				Summary:     "{{ $value }} backups of {{ $labels.database }} of {{ $labels.namespace }}/{{ $labels.statefulset }} cannot be relied on.",
				Description: "They are damaged, unreadable, empty, incomplete or misdated, and do not count towards the minimum that retention keeps. `novawire backup list {{ $labels.statefulset }} -n {{ $labels.namespace }}` shows the condition of each.",
				Meaning:     "The newest run or drill found backups that do not count as a way back. Other backups may be good.",
				Commands:    append([]string{"novawire backup list sts/STATEFULSET -n NAMESPACE"}, commands[:2]...),
				Cause:       "Somebody changed or deleted objects of the bucket, a clock was wrong, or a drill found damage. docs/backup.md explains each condition. Make a new backup with `novawire backup now sts/STATEFULSET -n NAMESPACE`, then delete the bad one by hand.",
				Alarm: &Alarm{
					Namespace: backupNamespace, Metric: "BackupsNotGood", Per: PerDatabase, Statistic: "Maximum", Period: time.Hour, Periods: 1, Datapoints: 1,
					Compare: Above, Threshold: 0, Missing: MissingStays,
				},
			},
			{
				Name: "NovawireBackupPruneRefused", Severity: Warning,
				Expr:        `max by (namespace, statefulset, database) (novawire_backup_prune_refused) > 0`,
				Summary:     "Old backups of {{ $labels.database }} of {{ $labels.namespace }}/{{ $labels.statefulset }} are not deleted: more than half would go.",
				Description: "The backup is valid. Until somebody decides, nothing is deleted and the bucket grows: look at `pg-backup prune --dry-run`, then run `pg-backup prune --take-many` once, or raise the retention.",
				Meaning:     "Retention would have deleted more than half of the backups of a database at once, so it deleted none.",
				Commands:    commands,
				Cause:       "The retention was lowered, runs were suspended for longer than the retention, or a clock was wrong.",
				Alarm: &Alarm{
					Namespace: backupNamespace, Metric: "PruneRefused", Per: PerDatabase, Statistic: "Maximum", Period: time.Hour, Periods: 1, Datapoints: 1,
					Compare: Above, Threshold: 0, Missing: MissingStays,
				},
			},
			{
				Name: "NovawirePostgreSQLUnprotected", Severity: Warning, For: time.Hour,
				// NovawireBackupNever covers databases without a first backup. The reason is no
				// label of the alert: a change of it would end the alert for an hour.
				Expr:        `max by (namespace, kind, name) (novawire_postgresql_unprotected{reason!="no-backup-yet"}) > 0`,
				Summary:     "The PostgreSQL {{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} is not backed up.",
				Description: "`novawire backup audit -n {{ $labels.namespace }}` shows why and what to change. If it needs no backup, set the annotation `backup.nova.dev/unprotected-reason`, which also ends this alert.",
				Meaning:     "The audit found a PostgreSQL database in the cluster that nothing backs up.",
				Commands:    []string{"novawire backup audit -n NAMESPACE", "kubectl -n NAMESPACE describe KIND NAME", "kubectl -n NAMESPACE get events --field-selector involvedObject.name=NAME"},
				Cause:       "Nobody set `backup.nova.dev/enabled`, or the backup is suspended. If the database needs no backup, set `backup.nova.dev/unprotected-reason`.",
			},
			{
				Name: "NovawireBackupAuditStale", Severity: Warning, For: 5 * time.Minute,
				Expr:        `time() - max(novawire_backup_audit_timestamp_seconds) > 1800`,
				Summary:     "The last audit of PostgreSQL databases is {{ $value | humanizeDuration }} old.",
				Description: "Until the next audit, a database without backup is not noticed. The log of the leader shows why the audit fails.",
				Meaning:     "The audit that looks for databases without backup has not succeeded for half an hour.",
				Commands:    []string{"kubectl -n novawire-system logs -l app.kubernetes.io/name=novawire --tail=200 | grep -i audit", "kubectl -n novawire-system get lease", "novawire backup audit"},
				Cause:       "A missing right (RBAC), or an API server that does not answer.",
			},
			{
				Name: "NovawireBackupUnwatched", Severity: Warning, For: 30 * time.Minute,
				Expr:        `absent(novawire_backup_info) and on () max_over_time(novawire_backup_info[1d])`,
				Summary:     "No replica of novawire reports backups any more.",
				Description: "No replica is the leader, or Prometheus reaches none. Scheduled runs still start; the other backup alerts cannot fire.",
				Meaning:     "The metrics of backups have disappeared. Scheduled runs still start.",
				Commands:    []string{"kubectl -n novawire-system get lease", "kubectl -n novawire-system get pods", "kubectl -n novawire-system logs -l app.kubernetes.io/name=novawire --tail=200"},
				Cause:       "No replica holds the Lease, the manager runs with --controllers=false, or Prometheus does not scrape it.",
			},
		},
	}
}
