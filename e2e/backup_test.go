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

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/nova/novawire"
)

// From an annotation to the same rows again.
func TestBackup(t *testing.T) {
	t.Parallel()
	for _, major := range []int{15, 17} {
		t.Run(fmt.Sprintf("PostgreSQL %d", major), func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, major)
			d.scheduledWithinSeconds()
			d.backedUp()
			d.drilled()
			d.restored()
		})
	}
}

func (d database) scheduledWithinSeconds() {
	d.t.Helper()
	d.enable()
	asked := time.Now()
	eventually(d.t, "there is a CronJob", 5*time.Second, func(ctx context.Context) (bool, error) {
		var job batchv1.CronJob
		err := d.Get(ctx, statefulName+"-backup", d.name, &job)
		return err == nil, nil
	})
	d.t.Logf("CronJob after %s", time.Since(asked).Round(10*time.Millisecond))
	d.told("BackupScheduled", statefulName+"-backup", "0 1 * * *", "s3://"+bucket+"/"+statefulName)
	d.metric("novawire_backup_info", `namespace="NS",statefulset="auth-db",suspended="false"`, exactly(1))
}

const ofNovaAuth = `database="nova_auth",namespace="NS",statefulset="auth-db"`

func (d database) backedUp() {
	d.t.Helper()
	d.t.Logf("novawire backup now:\n%s", d.backup("now"))
	d.told("BackupRunStarted")
	d.told("BackupSucceeded", "nova_auth", "5000 rows")
	if keys := d.manifests(); len(keys) != 1 || !strings.HasPrefix(keys[0], statefulName+"/nova_auth/") {
		d.t.Errorf("manifests in the bucket: %q of %q", keys, d.objects())
	}
	_, db, err := d.status(d.t.Context())
	if err != nil || db.LastSuccess == nil || db.Bytes == 0 || db.Rows != 5000 {
		d.t.Errorf("status: %+v, %v", db, err)
	}
	d.metric("novawire_backup_last_success_timestamp_seconds", ofNovaAuth, recently)
	d.metric("novawire_backup_size_bytes", ofNovaAuth, positive)
	d.metric("novawire_backup_stored_bytes", ofNovaAuth, positive)
	d.metric("novawire_backup_duration_seconds", ofNovaAuth, positive)
	d.metric("novawire_backup_anomalies", ofNovaAuth, exactly(0))
}

// drilled runs what the runbook says of the quarterly drill.
func (d database) drilled() {
	d.t.Helper()
	out, err := d.shell(runbookCommands(d.t, "cluster-drill"))
	if err != nil {
		d.t.Fatalf("the drill of the runbook: %v\n%s", err, out)
	}
	d.t.Logf("the drill of the runbook:\n%s", out)
	d.told("DrillPassed", "nova_auth")
	eventually(d.t, "the status has the drill", time.Minute, func(ctx context.Context) (bool, error) {
		_, db, err := d.status(ctx)
		return db.LastVerified != nil && db.DrillSeconds > 0, err
	})
	d.metric("novawire_backup_last_verified_timestamp_seconds", ofNovaAuth, recently)
	d.metric("novawire_backup_drill_duration_seconds", ofNovaAuth, positive)
}

// restored drops the database and does what the runbook says.
func (d database) restored() {
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
	d.told("RestoreSucceeded", "nova_auth")
}

// runbookCommands are those blocks of the runbook that a test of another package
// cannot run: they need a cluster.
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

// Whatever goes wrong is told in three places, and costs no backup.
func TestBackupFailures(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, 17)
	d.enable()
	d.backup("now")
	first := d.manifests()
	for _, c := range []struct {
		name  string
		fails func(database)
	}{
		{"a wrong password", wrongPassword},
		{"a bucket that cannot be reached", unreachableBucket},
		{"a Job that is killed", killedJob},
		{"a scratch volume that is full", fullScratch},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := database{namespace{d.Resources, t, d.name}}
			_, good, err := d.status(t.Context())
			if err != nil || good.LastSuccess == nil {
				t.Fatalf("status: %+v, %v", good, err)
			}
			c.fails(d)
			if keys := d.manifests(); !slices.Contains(keys, first[0]) {
				t.Errorf("the first backup, %s, is not among %q", first[0], keys)
			}
		})
	}
	d.backup("now") // what failed has left nothing behind that is in the way
	if keys := d.manifests(); len(keys) < 2 || !slices.Contains(keys, first[0]) {
		t.Errorf("the first backup, %s, is not among %q", first[0], keys)
	}
	d.told("BackupAnomaly", "nova_auth: 1 tables vanished") // the one that filled the volume
	d.metric("novawire_backup_anomalies", ofNovaAuth, exactly(1))
}

// failed checks the metric and the status of a failure. The last success is as it was.
func (d database) failed(category novawire.BackupCategory, good *time.Time) {
	d.t.Helper()
	d.metric("novawire_backup_failures_total", fmt.Sprintf(`category=%q,namespace="NS",statefulset="auth-db"`, category), positive)
	eventually(d.t, fmt.Sprintf("the status tells of %q", category), time.Minute, func(ctx context.Context) (bool, error) {
		status, db, err := d.status(ctx)
		if good != nil && (db.LastSuccess == nil || !db.LastSuccess.Equal(*good)) {
			return false, fmt.Errorf("the last success was %v and is %v", good, db.LastSuccess)
		}
		return err == nil && status.LastFailure != nil && status.LastFailure.Category == category, err
	})
}

// start asks for a run and returns the name of its Job.
func (d database) start(verb string) string {
	d.t.Helper()
	out := d.backup(verb, "--detach")
	name := regexp.MustCompile(`Job \S+/(\S+)`).FindStringSubmatch(out)
	if name == nil {
		d.t.Fatalf("novawire backup %s --detach names no Job:\n%s", verb, out)
	}
	return name[1]
}

func (d database) lastSuccess() *time.Time {
	d.t.Helper()
	_, db, err := d.status(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return db.LastSuccess
}

func wrongPassword(d database) {
	good := d.lastSuccess()
	secret := func(url string) {
		kubectl(d.t, "", "-n", d.name, "patch", "secret", "postgres-credentials", "--type", "merge", "-p", fmt.Sprintf(`{"stringData":{"url":%q}}`, url))
	}
	secret(d.url("wrong"))
	defer secret(d.url(password))
	out, err := d.novawire("backup", "now", "sts/"+statefulName, "-n", d.name)
	if err == nil {
		d.t.Errorf("novawire backup now succeeded:\n%s", out)
	}
	d.told("BackupFailed", "permission", "password authentication failed")
	d.failed(novawire.BackupPermission, good)
}

func unreachableBucket(d database) {
	good := d.lastSuccess()
	reach := func(endpoint string) {
		d.annotate(novawire.AnnotationBackupS3Endpoint, endpoint)
		d.settled(novawire.EnvS3Endpoint, endpoint)
	}
	reach(d.s3(nowhere))
	defer reach(d.endpoint())
	job := d.start("now")
	defer d.removeJob(job) // it would try again
	d.told("BackupFailed", "store", job)
	d.failed(novawire.BackupStore, good)
}

func (d database) removeJob(name string) {
	d.t.Helper()
	kubectl(d.t, "", "-n", d.name, "delete", "job", name)
}

// settled waits until the CronJob has an environment variable as wanted.
func (d database) settled(name, value string) {
	d.t.Helper()
	eventually(d.t, name+" is "+value, time.Minute, func(ctx context.Context) (bool, error) {
		var job batchv1.CronJob
		if err := d.Get(ctx, statefulName+"-backup", d.name, &job); err != nil {
			return false, err
		}
		return slices.ContainsFunc(job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env, func(v corev1.EnvVar) bool {
			return v.Name == name && v.Value == value
		}), nil
	})
}

// killedJob ends runs that wait for a table which somebody else has locked, so that
// the moment is no matter of luck: one without a word, and the one that tries
// again by deleting the Job.
func killedJob(d database) {
	good := d.lastSuccess()
	release := d.lock()
	defer release()
	job := d.start("now")
	pod := d.waitsForTheTable(job, "")
	d.killFromOutside(pod)
	d.told("BackupFailed", "killed", job)
	d.failed(novawire.BackupKilled, good)

	d.waitsForTheTable(job, pod.Name)
	d.removeJob(job)
	d.told("BackupFailed", "interrupted", job)
	d.failed(novawire.BackupInterrupted, good)
}

// lock holds the table accounts until it is released.
func (d database) lock() (release func()) {
	d.t.Helper()
	holder := exec.CommandContext(d.t.Context(), "kubectl", "--kubeconfig", testenv.EnvConf().KubeconfigFile(), "-n", d.name,
		"exec", "-i", statefulName+"-0", "-c", "postgres", "--", "psql", "-h", "/tmp", "-U", "postgres", "-Xq", "-d", "nova_auth")
	session, err := holder.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		d.t.Fatal(err)
	}
	fmt.Fprintln(session, "BEGIN; LOCK TABLE accounts;")
	eventually(d.t, "the table is locked", time.Minute, func(context.Context) (bool, error) {
		return d.sql("nova_auth", "SELECT count(*) FROM pg_locks WHERE relation = 'accounts'::regclass AND mode = 'AccessExclusiveLock' AND granted") != "0", nil
	})
	return func() { _, _ = session.Close(), holder.Wait() }
}

// waitsForTheTable waits until a pod of a Job, another than one before, has asked
// the server for the table that it does not get.
func (d database) waitsForTheTable(job, before string) (found *corev1.Pod) {
	d.t.Helper()
	eventually(d.t, "a run waits for the table", 2*time.Minute, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := d.List(ctx, &pods, resources.WithLabelSelector(batchv1.JobNameLabel+"="+job)); err != nil {
			return false, err
		}
		for i, pod := range pods.Items {
			if pod.Name != before && pod.Status.Phase == corev1.PodRunning {
				found = &pods.Items[i]
				waits := fmt.Sprintf("SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND client_addr = '%s'", pod.Status.PodIP)
				return d.sql("nova_auth", waits) != "0", nil
			}
		}
		return false, nil
	})
	return found
}

// killFromOutside sends SIGKILL to pg-backup, as the kernel does when memory is
// short: a process that is the first of its namespace cannot be killed from within.
func (d database) killFromOutside(victim *corev1.Pod) {
	d.t.Helper()
	const script = `for p in /proc/[0-9]*; do
		if grep -q "$0\|$1" "$p/cgroup" 2>/dev/null && tr '\0' ' ' <"$p/cmdline" | grep -q '^/novawire/pg-backup'; then kill -9 "${p#/proc/}"; fi
	done`
	uid := string(victim.UID)
	killer := &corev1.Pod{ObjectMeta: meta("default", "killer-of-"+victim.Name), Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, HostPID: true, NodeName: victim.Spec.NodeName,
		Containers: []corev1.Container{{
			Name: "killer", Image: s3Image, ImagePullPolicy: corev1.PullIfNotPresent,
			Command:         []string{"bash", "-c", script, uid, strings.ReplaceAll(uid, "-", "_")},
			SecurityContext: &corev1.SecurityContext{Privileged: new(true), RunAsUser: new(int64(0))},
		}},
	}}
	cluster := namespace{resourcesIn(d.t, "default"), d.t, "default"}
	cluster.create(killer)
	d.t.Cleanup(func() { _ = cluster.Delete(context.Background(), killer) })
}

// fullScratch has rows that a dump holds in little, and pages in much: one row to
// each page of eight kilobytes. The scratch volume has a gibibyte, in memory.
func fullScratch(d database) {
	d.sql("nova_auth",
		"CREATE TABLE sparse (filler text) WITH (fillfactor = 10)",
		"ALTER TABLE sparse ALTER filler SET STORAGE PLAIN",
		"INSERT INTO sparse SELECT repeat('x', 800) FROM generate_series(1, 160000)")
	defer d.sql("nova_auth", "DROP TABLE sparse")
	d.backup("now")
	good := d.lastSuccess()
	job := d.start("drill")
	defer d.removeJob(job) // it would try again
	d.told("DrillFailed", "No space left on device", job)
	d.failed(novawire.BackupSource, good)
}

// A mistake is told before it costs a night.
func TestBackupRefusedAtApply(t *testing.T) {
	t.Parallel()
	n := inNamespace(t, true)
	mistaken := postgres(n.name, 17)
	mistaken.Spec.Replicas = new(int32(0))
	mistaken.Annotations = map[string]string{
		novawire.AnnotationBackupEnabled: "true", novawire.AnnotationBackupBucket: "s3://" + bucket + "/x",
		novawire.AnnotationBackupSchedule: "0 25 * * *",
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
	mistaken.Annotations[novawire.AnnotationBackupSchedule] = "0 2 * * *"
	mistaken.Annotations[novawire.AnnotationBackupServiceAccount] = "backup-writer"
	if out, err = apply(); err != nil || !containsAll(out, []string{
		"Warning: novawire: ", "no Secret postgres-credentials in namespace " + n.name, "no ServiceAccount backup-writer",
	}) {
		t.Errorf("kubectl apply: %v:\n%s", err, out)
	}
}

// The plain CronJob, for a database of which the cluster knows only the address.
func TestBackupOfADatabaseOutside(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, 17) // the version of the published image's clients
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
	if keys := d.manifests(); len(keys) != 1 || !strings.HasPrefix(keys[0], "staging/postgres/nova_auth/") {
		t.Errorf("manifests in the bucket: %q", keys)
	}
}
