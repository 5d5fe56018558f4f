//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
)

const (
	postgresImage = "ghcr.io/nova/e2e-postgres%d:dev"
	s3Image       = "ghcr.io/nova/e2e-versitygw:dev"
	statefulName  = "auth-db"
	bucket        = "nova-backups"
	password      = "p@ss:/word" // has characters that a URL escapes
)

// database is a PostgreSQL StatefulSet "auth-db" with a database nova_auth, in a
// namespace that also has an S3 server.
type database struct {
	namespace
}

func newDatabase(t *testing.T, major int) database { return newDatabaseOf(t, major, nil, true) }

// newDatabaseOf runs a StatefulSet that was changed, in a namespace that is wired or not.
func newDatabaseOf(t *testing.T, major int, shape func(*appsv1.StatefulSet), wired bool) database {
	t.Helper()
	d := database{inNamespace(t, wired)}
	d.serveS3()
	d.create(&corev1.Secret{ObjectMeta: meta(d.name, "postgres-credentials"), StringData: map[string]string{
		"url": d.url(password), "password": password,
	}})
	d.create(&corev1.Secret{ObjectMeta: meta(d.name, "aws"), StringData: map[string]string{
		"credentials": fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", accessKey, secretKey),
	}})
	d.create(&corev1.Service{ObjectMeta: meta(d.name, statefulName), Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{"app": statefulName},
		Ports: []corev1.ServicePort{{Port: 5432}},
	}})
	set := postgres(d.name, major)
	if shape != nil {
		shape(set)
	}
	d.create(set)
	d.pod(statefulName, readyOrSucceeded)
	d.sql("postgres", "CREATE DATABASE nova_auth")
	d.sql("nova_auth",
		"CREATE TABLE accounts (id bigint PRIMARY KEY, email text UNIQUE, created timestamptz DEFAULT now())",
		"INSERT INTO accounts SELECT i, 'user' || i || '@nova.dev' FROM generate_series(1, 5000) i")
	return d
}

func (d database) url(password string) string {
	return fmt.Sprintf("postgres://postgres:%s@%s.%s.svc:5432", password, statefulName, d.name)
}

// postgres returns a StatefulSet as users have it, except that its data is lost with
// the pod.
func postgres(namespace string, major int) *appsv1.StatefulSet {
	template := service(statefulName)
	c := &template.Spec.Containers[0]
	c.Name, c.Image = "postgres", fmt.Sprintf(postgresImage, major)
	c.Args = []string{"-c", "fsync=off"}
	c.Ports = []corev1.ContainerPort{{Name: "postgres", ContainerPort: 5432}}
	c.Env = []corev1.EnvVar{{Name: "POSTGRES_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "postgres-credentials"}, Key: "password",
	}}}}
	c.ReadinessProbe.ProbeHandler = corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"pg_isready", "-h", "/tmp", "-U", "postgres"}}}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	template.Spec.SecurityContext.FSGroup = new(int64(65532))
	return &appsv1.StatefulSet{ObjectMeta: meta(namespace, statefulName), Spec: appsv1.StatefulSetSpec{
		ServiceName: statefulName, Selector: selector(statefulName), Template: template,
	}}
}

// likeBitnami describes the login as Bitnami's image does: a user for the application and,
// in files, the password of the superuser.
func likeBitnami(set *appsv1.StatefulSet) {
	pod := &set.Spec.Template.Spec
	c := &pod.Containers[0]
	const file = "/opt/bitnami/postgresql/secrets/postgres-password"
	c.Command = []string{"sh", "-c", `POSTGRES_USER=postgres POSTGRES_PASSWORD_FILE=$POSTGRES_POSTGRES_PASSWORD_FILE exec postgres-entrypoint "$@"`, "sh"}
	c.Env = []corev1.EnvVar{
		{Name: "POSTGRES_USER", Value: "app"},
		{Name: "POSTGRES_PASSWORD", Value: "of-the-application"},
		{Name: "POSTGRES_POSTGRES_PASSWORD_FILE", Value: file},
	}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "secrets", MountPath: path.Dir(file), ReadOnly: true})
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "secrets", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: "postgres-credentials", Items: []corev1.KeyToPath{{Key: "password", Path: path.Base(file)}},
	}}})
}

// serveS3 runs an S3 server "s3" that stores its objects as files.
func (d database) serveS3() {
	d.t.Helper()
	s3 := deployment(d.name, "s3")
	s3.Spec.Template.Labels[injection.LabelWiring] = injection.WiringDisabled
	spec := &s3.Spec.Template.Spec
	spec.SecurityContext.FSGroup = new(int64(65532))
	spec.Volumes = []corev1.Volume{{Name: "s3", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	c := &spec.Containers[0]
	c.Image, c.Ports = s3Image, nil
	c.Command = []string{"sh", "-c", "mkdir -p /s3/data/" + bucket + ` /s3/side && exec versitygw --access "$0" --secret "$1" --region "$2" --port :7070 --quiet posix --sidecar /s3/side /s3/data`}
	c.Args = []string{accessKey, secretKey, region}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "s3", MountPath: "/s3"}}
	c.ReadinessProbe.ProbeHandler = corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(7070)}}
	d.create(s3)
	d.create(&corev1.Service{ObjectMeta: meta(d.name, "s3"), Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "s3"},
		Ports: []corev1.ServicePort{
			{Name: "s3", Port: 7070},
			{Name: "nowhere", Port: closedPort, TargetPort: intstr.FromInt32(1)}, // refuses
		},
	}})
	d.pod("s3", readyOrSucceeded)
}

// objects returns the keys in the bucket.
func (d database) objects() []string {
	d.t.Helper()
	out, _ := kubectl(d.t, "", "-n", d.name, "exec", "deploy/s3", "--", "find", "/s3/data/"+bucket, "-type", "f", "-printf", `%P\n`)
	return strings.Fields(out)
}

// manifests returns the keys of the committed backups of nova_auth.
func (d database) manifests() (keys []string) {
	d.t.Helper()
	for _, key := range d.objects() {
		if strings.HasSuffix(key, "/manifest.json") && strings.Contains(key, "/nova_auth/") {
			keys = append(keys, key)
		}
	}
	return keys
}

// sql runs statements, each in its own transaction, and returns their output.
func (d database) sql(database string, statements ...string) string {
	d.t.Helper()
	args := []string{"-n", d.name, "exec", statefulName + "-0", "-c", "postgres", "--", "psql", "-h", "/tmp", "-U", "postgres", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	out, _ := kubectl(d.t, "", args...)
	return strings.TrimSpace(out)
}

// accounts returns a fingerprint of the rows that a restore must bring back.
func (d database) accounts() string {
	d.t.Helper()
	return d.sql("nova_auth", "SELECT count(*) || ' ' || md5(string_agg(a::text, ',' ORDER BY id)) FROM accounts a")
}

// annotate sets backup.nova.dev annotations on the StatefulSet.
func (d database) annotate(pairs ...string) {
	d.t.Helper()
	args := []string{"-n", d.name, "annotate", "--overwrite", "statefulset", statefulName}
	for i := 0; i < len(pairs); i += 2 {
		args = append(args, pairs[i]+"="+pairs[i+1])
	}
	kubectl(d.t, "", args...)
}

// enable sets the annotations that a user sets for backup.
func (d database) enable() {
	d.t.Helper()
	d.annotate(
		backupapi.AnnotationEnabled, "true",
		backupapi.AnnotationBucket, "s3://"+bucket+"/"+statefulName,
		backupapi.AnnotationS3Endpoint, d.endpoint(),
		backupapi.AnnotationAWSRegion, region,
		backupapi.AnnotationAWSSecret, "aws")
}

func (d database) endpoint() string { return d.s3(7070) }

func (d database) s3(port int) string { return fmt.Sprintf("http://s3.%s.svc:%d", d.name, port) }

// closedPort is a port of the S3 server's Service on which nothing listens.
const closedPort = 7071

var cli struct {
	sync.Once
	dir string
	err error
}

// novawire runs the program as a user does and returns its output.
func (d database) novawire(args ...string) (string, error) {
	d.t.Helper()
	return d.shell(`novawire "$@"`, args...)
}

// shell runs a script with novawire and kubectl in PATH and with the variables of the
// runbook.
func (d database) shell(script string, args ...string) (string, error) {
	d.t.Helper()
	cli.Do(func() {
		if cli.dir, cli.err = os.MkdirTemp("", "e2e-novawire-"); cli.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", cli.dir, "../cmd/novawire").CombinedOutput(); err != nil {
			cli.err = fmt.Errorf("build novawire: %w\n%s", err, out)
		}
	})
	if cli.err != nil {
		d.t.Fatal(cli.err)
	}
	cmd := exec.CommandContext(d.t.Context(), "sh", append([]string{"-e", "-c", script, "sh"}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+cli.dir+string(filepath.ListSeparator)+os.Getenv("PATH"), "KUBECONFIG="+testenv.EnvConf().KubeconfigFile(),
		"NAMESPACE="+d.name, "STATEFULSET="+statefulName, "DATABASE=nova_auth", "NEW=nova_auth")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// backup runs `novawire backup VERB` on the StatefulSet and fails the test on an error.
func (d database) backup(verb string, more ...string) string {
	d.t.Helper()
	out, err := d.novawire(append([]string{"backup", verb, "sts/" + statefulName, "-n", d.name}, more...)...)
	if err != nil {
		d.t.Fatalf("novawire backup %s: %v\n%s", verb, err, out)
	}
	return out
}

// expectEvent waits for an Event on the StatefulSet whose note contains parts.
func (d database) expectEvent(reason string, parts ...string) {
	d.t.Helper()
	d.expectEventWithin(2*time.Minute, reason, parts...)
}

func (d database) expectEventWithin(limit time.Duration, reason string, parts ...string) {
	d.t.Helper()
	var seen []string
	err := poll(d.t, limit, func(ctx context.Context) (bool, error) {
		var events eventsv1.EventList
		if err := d.List(ctx, &events); err != nil {
			return false, err
		}
		seen = nil
		for _, e := range events.Items {
			if e.Regarding.Kind != "StatefulSet" || e.Regarding.Name != statefulName {
				continue
			}
			seen = append(seen, e.Reason+": "+e.Note)
			if e.Reason == reason && containsAll(e.Note, parts) {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		d.t.Fatalf("no Event %s with %q: %v; there are\n%s", reason, parts, err, strings.Join(seen, "\n"))
	}
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// status returns the status annotation and its entry for nova_auth.
func (d database) status(ctx context.Context) (backupapi.Status, backupapi.DatabaseStatus, error) {
	var s appsv1.StatefulSet
	if err := d.Get(ctx, statefulName, d.name, &s); err != nil {
		return backupapi.Status{}, backupapi.DatabaseStatus{}, err
	}
	status, err := backupapi.ParseStatus(s.Annotations[backupapi.AnnotationStatus])
	for _, db := range status.Databases {
		if db.Name == "nova_auth" {
			return status, db, err
		}
	}
	return status, backupapi.DatabaseStatus{}, err
}

// metric waits until a series of this StatefulSet has a wanted value. Only the leader
// exports the series.
func (d database) metric(name, labels string, wanted func(float64) bool) {
	d.t.Helper()
	series := fmt.Sprintf(`%s{%s}`, name, strings.ReplaceAll(labels, "NS", d.name))
	var got string
	err := poll(d.t, time.Minute, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := resourcesIn(d.t, systemNamespace).List(ctx, &pods, resources.WithLabelSelector("app.kubernetes.io/name="+webhookName)); err != nil {
			return false, err
		}
		for _, pod := range pods.Items {
			text, err := d.clientset().CoreV1().Pods(systemNamespace).ProxyGet("http", pod.Name, "8080", "/metrics", nil).DoRaw(ctx)
			if err != nil {
				continue // it is terminating
			}
			for line := range strings.Lines(string(text)) {
				if value, ok := strings.CutPrefix(line, series+" "); ok {
					got = strings.TrimSpace(value)
					number, err := strconv.ParseFloat(got, 64)
					return err == nil && wanted(number), nil
				}
			}
		}
		return false, nil
	})
	if err != nil {
		d.t.Errorf("%s is %q: %v", series, got, err)
	}
}

func exactly(want float64) func(float64) bool { return func(got float64) bool { return got == want } }

func recent(got float64) bool { return time.Since(time.Unix(int64(got), 0)) < 10*time.Minute }

func positive(got float64) bool { return got > 0 }
