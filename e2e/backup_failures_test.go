//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	backupapi "github.com/nova/novawire/api/backup"
)

// Every failure is reported by an Event, a metric and the status, and no backup is lost.
func TestBackup_Failures(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, 17)
	d.enable()
	d.annotate(backupapi.AnnotationDatabases, "nova_auth")
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
	d.backup("now") // failed runs leave nothing that disturbs the next one
	if keys := d.manifests(); len(keys) < 2 || !slices.Contains(keys, first[0]) {
		t.Errorf("the first backup, %s, is not among %q", first[0], keys)
	}
	d.expectEvent("BackupAnomaly", "nova_auth: 1 tables disappeared") // the table that filled the volume
	d.metric("novawire_backup_anomalies", ofNovaAuth, exactly(1))
}

// expectFailure checks the metric and the status of a failure. The last success is as it was.
func (d database) expectFailure(category backupapi.Category, good *time.Time) {
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

// startJob requests a run and returns the name of its Job.
func (d database) startJob(verb string) string {
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
	// The running server keeps its password; the next Job reads the Secret.
	secret := func(password string) {
		kubectl(d.t, "", "-n", d.name, "patch", "secret", "postgres-credentials", "--type", "merge", "-p",
			fmt.Sprintf(`{"stringData":{"url":%q,"password":%q}}`, d.url(password), password))
	}
	secret("wrong")
	defer secret(password)
	out, err := d.novawire("backup", "now", "sts/"+statefulName, "-n", d.name)
	if err == nil {
		d.t.Errorf("novawire backup now succeeded:\n%s", out)
	}
	d.expectEvent("BackupFailed", "permission", "password authentication failed")
	d.expectFailure(backupapi.CategoryPermission, good)
}

func unreachableBucket(d database) {
	good := d.lastSuccess()
	reach := func(endpoint string) {
		d.annotate(backupapi.AnnotationS3Endpoint, endpoint)
		d.settled(backupapi.EnvS3Endpoint, endpoint)
	}
	reach(d.s3(closedPort))
	defer reach(d.endpoint())
	job := d.startJob("now")
	defer d.removeJob(job)                                           // it would be retried
	d.expectEventWithin(5*time.Minute, "BackupFailed", "store", job) // each request is tried for a minute
	d.expectFailure(backupapi.CategoryStore, good)
}

func (d database) removeJob(name string) {
	d.t.Helper()
	kubectl(d.t, "", "-n", d.name, "delete", "job", name, "--ignore-not-found", "--cascade", "foreground")
}

// settled waits until the CronJob has this value of an environment variable.
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

// killedJob ends runs while they wait for a locked table, so that the moment is
// deterministic: one by SIGKILL, and one by deleting its Job.
func killedJob(d database) {
	good := d.lastSuccess()
	for category, end := range map[backupapi.Category]func(job string, pod *corev1.Pod){
		backupapi.CategoryKilled:      func(_ string, pod *corev1.Pod) { d.sigkill(pod) },
		backupapi.CategoryInterrupted: func(job string, _ *corev1.Pod) { d.removeJob(job) },
	} {
		release := d.lock()
		job := d.startJob("now")
		end(job, d.waitsForTheTable(job))
		d.expectEvent("BackupFailed", string(category), job)
		d.expectFailure(category, good)
		d.removeJob(job) // the killed run would be retried
		release()
	}
}

// lock locks the table accounts until release is called.
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

// waitsForTheTable waits until a pod of the Job waits for the lock of the table.
func (d database) waitsForTheTable(job string) (found *corev1.Pod) {
	d.t.Helper()
	eventually(d.t, "a run waits for the table", 2*time.Minute, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := d.List(ctx, &pods, resources.WithLabelSelector(batchv1.JobNameLabel+"="+job)); err != nil {
			return false, err
		}
		for i, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodRunning {
				found = &pods.Items[i]
				waits := fmt.Sprintf("SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND client_addr = '%s'", pod.Status.PodIP)
				return d.sql("nova_auth", waits) != "0", nil
			}
		}
		return false, nil
	})
	return found
}

// sigkill sends SIGKILL to pg-backup from a pod in the node's PID namespace, as the
// kernel does when memory runs out. The first process of a PID namespace cannot be
// killed from within it.
func (d database) sigkill(victim *corev1.Pod) {
	d.t.Helper()
	const script = `for p in /proc/[0-9]*; do
		if grep -q "$0\|$1" "$p/cgroup" 2>/dev/null && tr '\0' ' ' <"$p/cmdline" | grep -q '^/novawire/pg-backup'; then kill -9 "${p#/proc/}"; fi
	done`
	uid := string(victim.UID)
	killer := &corev1.Pod{ObjectMeta: meta("default", "sigkill-"+victim.Name), Spec: corev1.PodSpec{
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

// fullScratch creates a table that is small in a dump and large on disk: one row per
// page of 8 KiB. The scratch volume is in memory and holds 1 GiB.
func fullScratch(d database) {
	d.sql("nova_auth",
		"CREATE TABLE sparse (filler text) WITH (fillfactor = 10)",
		"ALTER TABLE sparse ALTER filler SET STORAGE PLAIN",
		"INSERT INTO sparse SELECT repeat('x', 800) FROM generate_series(1, 160000)")
	defer d.sql("nova_auth", "DROP TABLE sparse")
	d.backup("now")
	good := d.lastSuccess()
	job := d.startJob("drill")
	defer d.removeJob(job) // it would be retried
	d.expectEvent("DrillFailed", "No space left on device", job)
	d.expectFailure(backupapi.CategorySource, good)
}
