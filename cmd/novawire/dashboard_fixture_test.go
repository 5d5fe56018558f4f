package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/testing/cluster"
)

// shown is a cluster with what a dashboard shows, on a real API server.
type shown struct {
	tb         testing.TB
	client     client.Client
	kubeconfig string
	config     string // of the manager
}

func newShown(tb testing.TB) *shown {
	tb.Helper()
	config := cluster.Config(tb)
	config.QPS = -1
	c, err := client.New(config, client.Options{})
	must(tb, err)
	s := &shown{tb: tb, client: c, kubeconfig: filepath.Join(tb.TempDir(), "kubeconfig"), config: filepath.Join(tb.TempDir(), "config.yaml")}
	must(tb, os.WriteFile(s.kubeconfig, cluster.Kubeconfig(tb, config), 0o600))
	must(tb, os.WriteFile(s.config, []byte("apiVersion: config.nova.dev/v1alpha1\nkind: ManagerConfiguration\n"), 0o600))
	return s
}

// create creates an object, which is deleted after the test.
func (s *shown) create(o client.Object) {
	s.tb.Helper()
	must(s.tb, s.client.Create(s.tb.Context(), o))
	s.tb.Cleanup(func() {
		_ = s.client.Delete(context.Background(), o, client.GracePeriodSeconds(0))
		if ns, ok := o.(*corev1.Namespace); ok { // no controller empties it
			ns.Spec.Finalizers, ns.ResourceVersion = nil, ""
			_ = s.client.SubResource("finalize").Update(context.Background(), ns)
		}
	})
}

func (s *shown) namespace(name string) {
	s.tb.Helper()
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled}}})
}

// pods creates pods of a Deployment in a state.
func (s *shown) pods(namespace, deployment string, state injection.PodState, n int) {
	s.tb.Helper()
	template := s.pod(deployment, state)
	hash := "5d8f7c9b4" + string(state[0])
	for i := range n {
		p := template.DeepCopy()
		p.Namespace, p.Name = namespace, fmt.Sprintf("%s-%s-%s", deployment, hash, podSuffix(i))
		p.Labels["pod-template-hash"] = hash
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-" + hash, UID: "1", Controller: new(true)}}
		s.create(p)
	}
}

// podSuffix returns five characters as the cluster appends them.
func podSuffix(i int) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	text := make([]byte, 5)
	for at := range text {
		text[at] = letters[(i*(7+at*4)+at*11)%len(letters)]
	}
	return string(text) + fmt.Sprint(i)
}

// pod returns a pod as it is after admission: preview runs the same engine.
func (s *shown) pod(app string, state injection.PodState) *corev1.Pod {
	s.tb.Helper()
	plain := corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: app, Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: app, Image: "ghcr.io/nova/" + app + ":1"}}},
	}
	if state == injection.PodSkipped {
		plain.Spec.HostNetwork = true
	}
	if state == injection.PodMissing || state == injection.PodSkipped {
		return &plain
	}
	manifest, err := json.Marshal(plain)
	must(s.tb, err)
	config := s.config
	if state == injection.PodStale {
		config = filepath.Join(s.tb.TempDir(), "older.yaml")
		must(s.tb, os.WriteFile(config, []byte("apiVersion: config.nova.dev/v1alpha1\nkind: ManagerConfiguration\ninjection:\n  clusterName: before\n"), 0o600))
	}
	var out bytes.Buffer
	must(s.tb, run(s.tb.Context(), []string{"preview", "--config", config, "-o", "json", "-"}, bytes.NewReader(manifest), &out, &out))
	var wired corev1.Pod
	must(s.tb, json.Unmarshal(out.Bytes(), &wired))
	if state == injection.PodChanged {
		delete(wired.Annotations, injection.AnnotationStatus)
	}
	return &wired
}

// manager creates the Deployment of the manager and its configuration.
func (s *shown) manager(namespace string) {
	s.tb.Helper()
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	text, err := os.ReadFile(s.config)
	must(s.tb, err)
	s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "novawire-config-8m2tk4c9"}, Data: map[string]string{"config.yaml": string(text)}})
	labels := map[string]string{"app": defaultService}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: defaultService}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: managerContainer, Image: "novawire"}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "novawire-config-8m2tk4c9"},
			}}}},
		}},
	}}
	s.create(d)
}

// backups creates the CronJob of a StatefulSet, with the status that the controller writes.
func (s *shown) backups(namespace, name string, status backupapi.Status) {
	s.tb.Helper()
	source := backupapi.StatefulSet(namespace, name)
	labels := resources.SourceLabels(source)
	labels[resources.LabelManagedBy] = resources.ManagedBy
	s.create(&batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: resources.BackupName(source), Labels: labels,
			Annotations: map[string]string{backupapi.AnnotationStatus: status.Encode()},
		},
		Spec: batchv1.CronJobSpec{Schedule: status.Schedule, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "pg-backup", Image: "postgres"}},
		}}}}},
	})
}

// telemetry creates the account that the manager keeps, of services by namespace/name.
func (s *shown) telemetry(system string, services map[string]map[string]ledgerapi.Entry) {
	s.tb.Helper()
	accounts := [ledgerapi.Shards]ledgerapi.Account{}
	for id, signals := range services {
		namespace, service, _ := strings.Cut(id, "/")
		accounts[ledgerapi.ShardOf(id)].Pod(id, namespace, service).Saw(1, ledgerapi.Message{Ledger: signals})
	}
	for i := range accounts {
		data, err := accounts[i].Encode()
		must(s.tb, err)
		s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: ledgerapi.ShardName(i)}, BinaryData: map[string][]byte{ledgerapi.Key: data}})
	}
}

// nightly returns the status of a database that was backed up each night for some weeks,
// with failures, gaps and drills on some days before today.
func nightly(now time.Time, weeks int, failed, missing, drilled, broken []int, databases ...string) backupapi.Status {
	s := backupapi.Status{Schedule: "0 1 * * *", DrillSchedule: "0 3 1 * *", TimeZone: "UTC", Location: "s3://nova-backups/prod/" + databases[0]}
	for day := weeks * 7; day >= 0; day-- {
		at := now.AddDate(0, 0, -day)
		switch {
		case slices.Contains(missing, day):
		case slices.Contains(failed, day):
			s.History = s.History.With(at, backupapi.DayFailed)
		default:
			s.History = s.History.With(at, backupapi.DaySucceeded)
		}
		if slices.Contains(drilled, day) {
			s.History = s.History.With(at, backupapi.DayProven)
		}
		if slices.Contains(broken, day) {
			s.History = s.History.With(at, backupapi.DayRestoreFailed)
		}
	}
	success, verified := now.Add(-9*time.Hour), now.AddDate(0, 0, -drilled[len(drilled)-1])
	for i, name := range databases {
		s.Databases = append(s.Databases, backupapi.DatabaseStatus{
			Name: name, LastSuccess: &success, LastVerified: &verified, Backup: "20261126T010000Z-1a2b3c", Bytes: int64(31+i*7) << 30, Stored: int64(7+i) << 30,
		})
	}
	return s
}

// firstLine is a writer that sends the first line to a channel: the URL of the page.
type firstLine struct {
	text bytes.Buffer
	line chan string
	done bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.text.Write(p)
	if line, _, whole := strings.Cut(f.text.String(), "\n"); whole && !f.done {
		f.done = true
		f.line <- line
	}
	return len(p), nil
}

// serve runs novawire dashboard and returns its address.
func (s *shown) serve(args ...string) string {
	s.tb.Helper()
	out := &firstLine{line: make(chan string, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{"dashboard", "--port", "0", "--interval", "1s", "--kubeconfig", s.kubeconfig}, args...), nil, out, out)
	}()
	s.tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.tb.Errorf("Ctrl-C is a failure: %v", err)
		}
	})
	select {
	case line := <-out.line:
		address, _, _ := strings.Cut(line, " ")
		if _, _, err := net.SplitHostPort(strings.TrimPrefix(address, "http://")); err != nil {
			s.tb.Fatalf("printed %q: %v", line, err)
		}
		return address
	case err := <-ended:
		ended <- nil
		s.tb.Fatal(err)
	}
	return ""
}
