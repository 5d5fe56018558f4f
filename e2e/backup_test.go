//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
)

// From an annotation to a backup, a drill and a restore.
func TestBackup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		image string
		major int
		shape func(*appsv1.StatefulSet)
		wired bool
	}{
		{"the official image", 15, nil, true},
		{"a Bitnami image in a namespace that is not wired", 17, likeBitnami, false},
	} {
		t.Run(c.image, func(t *testing.T) {
			t.Parallel()
			d := newDatabaseOf(t, c.major, c.shape, c.wired)
			d.checkScheduled()
			d.checkBackup()
			d.checkDrill()
			d.checkRestore()
			d.checkNotWired()
		})
	}
}

// checkNotWired checks that no pod of a backup has a sidecar, whether its namespace is
// wired or not.
func (d database) checkNotWired() {
	d.t.Helper()
	var pods corev1.PodList
	if err := d.List(d.t.Context(), &pods, resources.WithLabelSelector("app.kubernetes.io/managed-by=novawire")); err != nil || len(pods.Items) == 0 {
		d.t.Fatalf("%d pods of backups, %v", len(pods.Items), err)
	}
	for _, pod := range pods.Items {
		if len(pod.Spec.InitContainers) != 1 || pod.Annotations[injection.AnnotationStatus] != "" {
			d.t.Errorf("pod %s is wired: %v", pod.Name, pod.Annotations)
		}
	}
}

func (d database) checkScheduled() {
	d.t.Helper()
	d.enable()
	asked := time.Now()
	eventually(d.t, "the CronJob exists", 5*time.Second, func(ctx context.Context) (bool, error) {
		var job batchv1.CronJob
		err := d.Get(ctx, statefulName+"-backup", d.name, &job)
		return err == nil, nil
	})
	d.t.Logf("CronJob after %s", time.Since(asked).Round(10*time.Millisecond))
	d.expectEvent("BackupScheduled", statefulName+"-backup", "0 1 * * *", "s3://"+bucket+"/"+statefulName)
	d.metric("novawire_backup_info", `namespace="NS",statefulset="auth-db",suspended="false"`, exactly(1))
}

const ofNovaAuth = `database="nova_auth",namespace="NS",statefulset="auth-db"`

func (d database) checkBackup() {
	d.t.Helper()
	d.t.Logf("novawire backup now:\n%s", d.backup("now"))
	d.expectEvent("BackupRunStarted")
	d.expectEvent("BackupSucceeded", "nova_auth", "5000 rows")
	if keys := d.manifests(); len(keys) != 1 || !strings.HasPrefix(keys[0], statefulName+"/nova_auth/") {
		d.t.Errorf("manifests in the bucket: %q of %q", keys, d.objects())
	}
	_, db, err := d.status(d.t.Context())
	if err != nil || db.LastSuccess == nil || db.Bytes == 0 || db.Rows != 5000 {
		d.t.Errorf("status: %+v, %v", db, err)
	}
	d.metric("novawire_backup_last_success_timestamp_seconds", ofNovaAuth, recent)
	d.metric("novawire_backup_size_bytes", ofNovaAuth, positive)
	d.metric("novawire_backup_stored_bytes", ofNovaAuth, positive)
	d.metric("novawire_backup_duration_seconds", ofNovaAuth, positive)
	d.metric("novawire_backup_anomalies", ofNovaAuth, exactly(0))
}

// checkDrill runs the drill commands of the runbook.
func (d database) checkDrill() {
	d.t.Helper()
	out, err := d.shell(runbookCommands(d.t, "cluster-drill"))
	if err != nil {
		d.t.Fatalf("the drill of the runbook: %v\n%s", err, out)
	}
	d.t.Logf("the drill of the runbook:\n%s", out)
	d.expectEvent("DrillPassed", "nova_auth")
	eventually(d.t, "the status has the drill", time.Minute, func(ctx context.Context) (bool, error) {
		_, db, err := d.status(ctx)
		return db.LastVerified != nil && db.DrillSeconds > 0, err
	})
	d.metric("novawire_backup_last_verified_timestamp_seconds", ofNovaAuth, recent)
	d.metric("novawire_backup_drill_duration_seconds", ofNovaAuth, positive)
}

// checkRestore drops the database and runs the restore commands of the runbook.
func (d database) checkRestore() {
	d.t.Helper()
	before := d.accounts()
	d.sql("postgres", "DROP DATABASE nova_auth")
	out, err := d.shell(runbookCommands(d.t, "cluster-restore"))
	if err != nil {
		d.t.Fatalf("the restore of the runbook: %v\n%s", err, out)
	}
	d.t.Logf("the restore of the runbook:\n%s", out)
	if after := d.accounts(); after != before {
		d.t.Errorf("accounts were %s and are %s", before, after)
	}
	d.expectEvent("RestoreSucceeded", "nova_auth")
}

// runbookCommands returns the blocks of the runbook that need a cluster. A test of
// another package runs the rest.
func runbookCommands(t *testing.T, way string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/runbooks/restore_postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands strings.Builder
	for _, m := range regexp.MustCompile("(?ms)^```sh "+way+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		commands.WriteString(m[1])
	}
	if commands.Len() == 0 {
		t.Fatalf("the runbook has no commands of %q", way)
	}
	return commands.String()
}

// A wrong value is refused at kubectl apply, before the first backup is missed.
func TestBackup_RefusedAtApply(t *testing.T) {
	t.Parallel()
	n := inNamespace(t, true)
	mistaken := postgres(n.name, 17)
	mistaken.Spec.Replicas = new(int32(0))
	mistaken.Annotations = map[string]string{
		backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://" + bucket + "/x",
		backupapi.AnnotationSchedule: "0 25 * * *",
	}
	apply := func() (string, error) {
		cmd := exec.Command("kubectl", "--kubeconfig", testenv.EnvConf().KubeconfigFile(), "apply", "-f", "-")
		cmd.Stdin = strings.NewReader(manifest(t, "apps/v1", "StatefulSet", mistaken))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := apply()
	if want := `backup.nova.dev/schedule: "0 25 * * *" is refused: use a cron expression of five fields`; err == nil || !strings.Contains(out, want) {
		t.Errorf("kubectl apply: %v: no %q in\n%s", err, want, out)
	}
	// A look-up that the loaded API server does not answer in time causes no warning;
	// each further apply changes the object, so that it is looked up again.
	mistaken.Annotations[backupapi.AnnotationSchedule] = "0 2 * * *"
	mistaken.Annotations[backupapi.AnnotationURLSecret] = "absent/url"
	attempt := 0
	eventually(t, "warnings about absent objects", time.Minute, func(context.Context) (bool, error) {
		attempt++
		account := fmt.Sprintf("backup-writer-%d", attempt)
		mistaken.Annotations[backupapi.AnnotationServiceAccount] = account
		if out, err = apply(); err != nil {
			return false, fmt.Errorf("kubectl apply: %w:\n%s", err, out)
		}
		return containsAll(out, []string{
			"Warning: novawire: ", "Secret absent does not exist in namespace " + n.name, "ServiceAccount " + account + " does not exist",
		}), nil
	})
}

// A database that no annotated StatefulSet runs, backed up and drilled in the published
// image: by the Secret that holds its connection, and by the plain CronJob.
func TestBackup_OutsideOfAStatefulSet(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, 17) // the version of the published image's PostgreSQL
	d.checkUnprotected()
	d.checkSecret()
	d.checkPlainCronJob()
}

// checkUnprotected runs the audit before anything is annotated.
func (d database) checkUnprotected() {
	d.t.Helper()
	out, err := d.novawire("backup", "audit", "-n", d.name)
	if err == nil || !containsAll(out, []string{statefulName, "NO", "no backup is requested", `annotate it backup.nova.dev/enabled: "true"`, "1 of 1 PostgreSQL databases are not protected"}) {
		d.t.Errorf("novawire backup audit: %v\n%s", err, out)
	}
}

func (d database) checkSecret() {
	d.t.Helper()
	const name = "orders-rds"
	d.create(&corev1.Secret{ObjectMeta: meta(d.name, name), StringData: map[string]string{ // as AWS Secrets Manager writes it
		"engine": "postgres", "username": "postgres", "password": password, "host": statefulName + "." + d.name + ".svc", "port": "5432", "dbname": "nova_auth",
	}})
	args := []string{"-n", d.name, "annotate", "secret", name}
	for key, value := range map[string]string{
		backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://" + bucket + "/orders", backupapi.AnnotationS3Endpoint: d.endpoint(),
		backupapi.AnnotationAWSRegion: region, backupapi.AnnotationAWSSecret: "aws", backupapi.AnnotationExcludeTableData: "sessions",
	} {
		args = append(args, key+"="+value)
	}
	d.sql("nova_auth", "CREATE TABLE sessions (id int)", "INSERT INTO sessions VALUES (1)")
	kubectl(d.t, "", args...)
	for _, verb := range []string{"now", "drill", "list"} {
		if verb == "now" {
			d.cronJobs("the CronJobs of the Secret exist", func(jobs []batchv1.CronJob) bool { return len(jobs) == 2 })
		}
		out, err := d.novawire("backup", verb, "secret/"+name, "-n", d.name)
		if err != nil || verb == "list" && !strings.Contains(out, "without the data of 1 tables (public.sessions)") {
			d.t.Fatalf("novawire backup %s: %v\n%s", verb, err, out)
		}
		d.t.Logf("novawire backup %s:\n%s", verb, out)
	}
	d.metric("novawire_backup_last_verified_timestamp_seconds", `database="nova_auth",namespace="NS",statefulset="secret/`+name+`"`, recent)
	out, _ := d.novawire("backup", "audit", "-n", d.name)
	if !containsAll(out, []string{name, "yes"}) {
		d.t.Errorf("novawire backup audit:\n%s", out)
	}
}

func (d database) checkPlainCronJob() {
	t := d.t
	t.Helper()
	const aws = "postgres-backup-aws"
	d.create(&corev1.Secret{ObjectMeta: meta(d.name, aws), StringData: map[string]string{
		"credentials": fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", accessKey, secretKey),
	}})
	built, _ := kubectl(t, "", "kustomize", "../manifests/overlays/staging/cronjobs")
	built = strings.NewReplacer("namespace: nova\n", "namespace: "+d.name+"\n", "pg-backup:v0.1.0", "pg-backup:dev").Replace(built)
	kubectl(t, built, "apply", "-f", "-")
	kubectl(t, "", "-n", d.name, "set", "env", "cronjob/postgres-backup", "S3_ENDPOINT="+d.endpoint(), "AWS_REGION="+region, "CLOUDWATCH_NAMESPACE=none")
	kubectl(t, "", "-n", d.name, "create", "job", "tonight", "--from", "cronjob/postgres-backup")
	kubectl(t, "", "-n", d.name, "wait", "job/tonight", "--for", "condition=Complete", "--timeout", "3m")
	if keys := d.manifests(); !slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, "staging/postgres/nova_auth/") }) {
		t.Errorf("manifests in the bucket: %q", keys)
	}
}

// When backup is disabled or the StatefulSet is deleted, the CronJobs are deleted or
// suspended, as the annotation on-delete asks.
func TestBackup_Disabled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		onDelete backupapi.OnDelete
		giveUp   func(database)
		kept     bool
		because  string
	}{
		{"disabled, deleted", backupapi.OnDeleteDelete, func(d database) { d.annotate(backupapi.AnnotationEnabled, "false") }, false, ""},
		{"disabled, suspended", backupapi.OnDeleteKeep, func(d database) { d.annotate(backupapi.AnnotationEnabled, "false") }, true, "enabled"},
		{"the StatefulSet deleted, deleted", backupapi.OnDeleteDelete, func(d database) { d.deleteStatefulSet() }, false, ""},
		{"the StatefulSet deleted, suspended", backupapi.OnDeleteKeep, func(d database) { d.deleteStatefulSet() }, true, "deleted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := database{inNamespace(t, true)}
			idle := postgres(d.name, 17)
			idle.Spec.Replicas = new(int32(0))
			d.create(idle)
			d.annotate(backupapi.AnnotationOnDelete, string(c.onDelete))
			d.enable()
			d.cronJobs("both CronJobs exist", func(jobs []batchv1.CronJob) bool { return len(jobs) == 2 })
			c.giveUp(d)
			d.cronJobs("the CronJobs are deleted or suspended", func(jobs []batchv1.CronJob) bool {
				if !c.kept {
					return len(jobs) == 0
				}
				for _, j := range jobs {
					if j.Spec.Suspend == nil || !*j.Spec.Suspend || !strings.Contains(j.Annotations["backup.nova.dev/suspended-because"], c.because) {
						return false
					}
				}
				return len(jobs) == 2
			})
		})
	}
}

func (d database) deleteStatefulSet() {
	d.t.Helper()
	kubectl(d.t, "", "-n", d.name, "delete", "statefulset", statefulName)
}

func (d database) cronJobs(what string, wanted func([]batchv1.CronJob) bool) {
	d.t.Helper()
	eventually(d.t, what, time.Minute, func(ctx context.Context) (bool, error) {
		var jobs batchv1.CronJobList
		err := d.List(ctx, &jobs)
		return err == nil && wanted(jobs.Items), err
	})
}
