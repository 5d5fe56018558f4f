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

// Whatever goes wrong is told in three places, and costs no backup.
func TestBackupFailures(t *testing.T) {
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
	d.backup("now") // what failed has left nothing behind that is in the way
	if keys := d.manifests(); len(keys) < 2 || !slices.Contains(keys, first[0]) {
		t.Errorf("the first backup, %s, is not among %q", first[0], keys)
	}
	d.told("BackupAnomaly", "nova_auth: 1 tables vanished") // the one that filled the volume
	d.metric("novawire_backup_anomalies", ofNovaAuth, exactly(1))
}

// failed checks the metric and the status of a failure. The last success is as it was.
func (d database) failed(category backupapi.Category, good *time.Time) {
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
	d.failed(backupapi.CategoryPermission, good)
}

func unreachableBucket(d database) {
	good := d.lastSuccess()
	reach := func(endpoint string) {
		d.annotate(backupapi.AnnotationS3Endpoint, endpoint)
		d.settled(backupapi.EnvS3Endpoint, endpoint)
	}
	reach(d.s3(nowhere))
	defer reach(d.endpoint())
	job := d.start("now")
	defer d.removeJob(job)                                    // it would try again
	d.toldWithin(5*time.Minute, "BackupFailed", "store", job) // each request is tried for a minute
	d.failed(backupapi.CategoryStore, good)
}

func (d database) removeJob(name string) {
	d.t.Helper()
	kubectl(d.t, "", "-n", d.name, "delete", "job", name, "--ignore-not-found", "--cascade", "foreground")
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
// the moment is no matter of luck: one without a word, and one by deleting its Job.
func killedJob(d database) {
	good := d.lastSuccess()
	for category, end := range map[backupapi.Category]func(job string, pod *corev1.Pod){
		backupapi.CategoryKilled:      func(_ string, pod *corev1.Pod) { d.killFromOutside(pod) },
		backupapi.CategoryInterrupted: func(job string, _ *corev1.Pod) { d.removeJob(job) },
	} {
		release := d.lock()
		job := d.start("now")
		end(job, d.waitsForTheTable(job))
		d.told("BackupFailed", string(category), job)
		d.failed(category, good)
		d.removeJob(job) // the killed one would try again
		release()
	}
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

// waitsForTheTable waits until a pod of a Job has asked the server for the table
// that it does not get.
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
	d.failed(backupapi.CategorySource, good)
}
