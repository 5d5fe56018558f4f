package main

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
)

// database returns a StatefulSet that requests backup.
func database(ns, name string, annotations ...string) *appsv1.StatefulSet {
	d := deployment(ns, name, nil)
	s := &appsv1.StatefulSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.StatefulSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
	s.Annotations = map[string]string{backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://nova/" + ns}
	for i := 0; i < len(annotations); i += 2 {
		s.Annotations[annotations[i]] = annotations[i+1]
	}
	return s
}

const badSchedule = `backup.nova.dev/schedule: "hourly" is refused: use a cron expression of five fields`

func refusesBackups(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	bad := func(name string) *appsv1.StatefulSet {
		return database(ns, name, backupapi.AnnotationSchedule, "hourly")
	}
	refused := func(what string, err error) {
		t.Helper()
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), badSchedule) {
			t.Errorf("%s: %v", what, err)
		}
	}
	series := `novawire_admission_decisions_total{action="refused",reason="bad-backup-annotation",webhook="backup"}`
	before := m.metric(series)
	refused("a creation", m.client.Create(t.Context(), bad("auth-db")))
	refused("a dry run", m.client.Create(t.Context(), bad("auth-db"), client.DryRunAll))
	if got := m.metric(series); got != before+2 {
		t.Errorf("counted %v after %v", got, before)
	}
	good := database(ns, "auth-db")
	m.create(good)
	change := bad("auth-db")
	refused("an update", m.client.Update(t.Context(), change))

	var w warningRecorder
	if err := m.warned(&w).Create(t.Context(), database(ns, "feed-db", backupapi.AnnotationServiceAccount, "writer")); err != nil {
		t.Error(err)
	}
	for _, parts := range [][]string{
		{"Secret postgres-credentials does not exist in namespace " + ns},
		{"ServiceAccount writer does not exist in namespace " + ns},
		{"StatefulSet auth-db in namespace " + ns, "s3://nova/" + ns},
	} {
		if !w.has(parts...) {
			t.Errorf("no warning with %q in %q", parts, w.lines)
		}
	}
}

// The match conditions keep other StatefulSets away from the webhook.
func reviewsOnlyBackupRequests(m *environment, t *testing.T) {
	reviews := func() float64 { return m.metric(`novawire_admission_duration_seconds_count{webhook="backup"}`) }
	before := reviews()
	other := database(m.namespace(nil), "redis")
	other.Annotations = map[string]string{backupapi.AnnotationStatus: "{}", "nova.dev/else": "x"}
	m.create(other)
	other.Annotations = nil
	if err := m.client.Update(t.Context(), other); err != nil {
		t.Error(err)
	}
	if got := reviews(); got != before {
		t.Errorf("%v reviews of a StatefulSet that requests no backup", got-before)
	}
	other.Annotations, other.ResourceVersion = database("", "").Annotations, "" // the controller writes its status at the same time
	if err := m.client.Update(t.Context(), other); err != nil {
		t.Error(err)
	}
	other.Annotations, other.ResourceVersion = nil, "" // reviewed: it requested backup until now
	if err := m.client.Update(t.Context(), other); err != nil {
		t.Error(err)
	}
	if got := reviews(); got < before+2 {
		t.Errorf("%v reviews after a backup was switched on and off", got-before)
	}
}

// The wiring label of the namespace has no influence on backups.
func reviewsEveryNamespace(m *environment, t *testing.T) {
	plain := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "plain-"}}
	m.create(plain)
	refused := m.client.Create(t.Context(), database(plain.Name, "auth-db", backupapi.AnnotationSchedule, "hourly"))
	if !apierrors.IsInvalid(refused) {
		t.Errorf("a bad annotation in a namespace without the wiring label: %v", refused)
	}
	var w warningRecorder
	refusing := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "refusing-", Labels: map[string]string{backupapi.LabelNamespace: backupapi.NamespaceDisabled}}}
	m.create(refusing)
	if err := m.warned(&w).Create(t.Context(), database(refusing.Name, "auth-db")); err != nil || !w.has("no backup runs: namespace "+refusing.Name+" is labelled") {
		t.Errorf("no warning about a namespace that refuses backup: %v, %q", err, w.lines)
	}
	w.lines = nil
	mysql := database(plain.Name, "shop-db")
	mysql.Spec.Template.Spec.Containers[0].Image = "mysql:8"
	if err := m.warned(&w).Create(t.Context(), mysql); err != nil || !w.has("this is MySQL, not PostgreSQL") {
		t.Errorf("no warning about MySQL: %v, %q", err, w.lines)
	}
}

// oldMistake checks a StatefulSet that was created while the webhook was down.
func oldMistake(m *environment, t *testing.T, was *appsv1.StatefulSet) {
	t.Helper()
	var w warningRecorder
	replicas := int32(3)
	was.Spec.Replicas = &replicas
	if err := m.warned(&w).Update(t.Context(), was); err != nil || !w.has(badSchedule) {
		t.Errorf("an old mistake holds up a change: %v, warnings %q", err, w.lines)
	}
	was.Annotations[backupapi.AnnotationSchedule] = "daily"
	if err := m.client.Update(t.Context(), was); !apierrors.IsInvalid(err) {
		t.Errorf("a new mistake in its place: %v", err)
	}
	if err := m.client.Delete(t.Context(), was); err != nil {
		t.Error(err)
	}
}
