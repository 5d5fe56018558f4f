package audit

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

type environment struct {
	*testing.T
	client  client.Client
	cluster *kubernetes.Client
	config  *rest.Config
}

func newEnvironment(t *testing.T) environment {
	t.Helper()
	config := cluster.Config(t)
	config.QPS = -1
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	audited, err := kubernetes.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return environment{t, c, audited, config}
}

func (e environment) create(o client.Object) {
	e.Helper()
	if err := e.client.Create(e.Context(), o); err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = e.client.Delete(context.Background(), o) })
}

func (e environment) namespace(labels map[string]string) string {
	e.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "audit-", Labels: labels}}
	e.create(ns)
	return ns.Name
}

func podTemplate(image string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
	labels := map[string]string{"app": "db"}
	return &metav1.LabelSelector{MatchLabels: labels}, corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "db", Image: image}}},
	}
}

func statefulSet(ns, name, image string, annotations ...string) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Annotations: map[string]string{}}}
	s.Spec.Selector, s.Spec.Template = podTemplate(image)
	for i := 0; i < len(annotations); i += 2 {
		s.Annotations[annotations[i]] = annotations[i+1]
	}
	return s
}

// cronJob creates the CronJob that the controller would, with a status.
func (e environment) cronJob(ns, set string, status backupapi.Status) {
	e.Helper()
	source := backupapi.StatefulSet(ns, set)
	_, template := podTemplate("postgres:17")
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	e.create(&batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: ns, Name: resources.BackupName(source),
			Labels:      map[string]string{resources.LabelManagedBy: resources.ManagedBy, resources.LabelStatefulSet: set},
			Annotations: map[string]string{backupapi.AnnotationStatus: status.Encode()},
		},
		Spec: batchv1.CronJobSpec{Schedule: "0 1 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}},
	})
}

func defaults(t *testing.T) backupapi.Request {
	t.Helper()
	r, refusals := backupapi.ParseDefaults(map[string]string{backupapi.AnnotationBucket: "s3://nova-backups"})
	if len(refusals) > 0 {
		t.Fatal(refusals)
	}
	return r
}

func (e environment) run(o Options) Report {
	e.Helper()
	o.Defaults = defaults(e.T)
	report, err := Run(e.Context(), e.cluster, o)
	if err != nil {
		e.Fatal(err)
	}
	return report
}

// reasons returns "kind/name: reason" for each database.
func reasons(r Report) (lines []string) {
	for _, d := range r.Databases {
		reason := string(d.Reason)
		if d.Protected {
			reason = "protected"
		}
		lines = append(lines, d.Kind+"/"+d.Name+": "+reason)
	}
	return lines
}

const on = backupapi.AnnotationEnabled

func TestRun_StatefulSets(t *testing.T) {
	e := newEnvironment(t)
	ns := e.namespace(nil)
	success := time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)
	earlierSuccess := success.Add(-time.Hour)
	good := backupapi.Status{Databases: []backupapi.DatabaseStatus{
		{Name: "a", LastSuccess: &success, LastVerified: &earlierSuccess}, {Name: "b", LastSuccess: &earlierSuccess},
	}}
	for _, set := range []*appsv1.StatefulSet{
		statefulSet(ns, "cache", "redis:7"),
		statefulSet(ns, "exempt", "postgres:17", backupapi.AnnotationUnprotectedReason, "it is a cache"),
		statefulSet(ns, "exporter", "postgres-exporter:1"),
		statefulSet(ns, "mysql", "mysql:8", on, "true"),
		statefulSet(ns, "never-ran", "postgres:17", on, "true"),
		statefulSet(ns, "no-controller", "postgres:17", on, "true"),
		statefulSet(ns, "plain", "postgres:17"),
		statefulSet(ns, "private", "registry/db:1", on, "true"),
		statefulSet(ns, "protected", "postgres:17", on, "true"),
		statefulSet(ns, "switched-off", "postgres:17", on, "false"),
		statefulSet(ns, "suspended", "postgres:17", on, "true", backupapi.AnnotationSuspend, "true"),
		statefulSet(ns, "typo", "postgres:17", on, "yes"),
		statefulSet(ns, "wrong-schedule", "postgres:17", on, "true", backupapi.AnnotationSchedule, "tonight"),
	} {
		e.create(set)
	}
	for _, name := range []string{"never-ran", "private", "protected", "suspended", "switched-off"} {
		status := good
		if name == "never-ran" {
			status = backupapi.Status{Schedule: "0 1 * * *"}
		}
		e.cronJob(ns, name, status)
	}
	report := e.run(Options{Namespace: ns})
	want := []string{
		"StatefulSet/exempt: exempt", "StatefulSet/mysql: refused", "StatefulSet/never-ran: no-backup-yet", "StatefulSet/no-controller: no-controller",
		"StatefulSet/plain: not-requested", "StatefulSet/private: protected", "StatefulSet/protected: protected", "StatefulSet/suspended: suspended",
		"StatefulSet/switched-off: not-requested", "StatefulSet/typo: refused", "StatefulSet/wrong-schedule: refused",
	}
	if diff := cmp.Diff(want, reasons(report)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	for _, d := range report.Databases {
		if d.NeedsAction() && (d.Message == "" || d.Fix == "") {
			t.Errorf("%s needs action and says %q, fix %q", d.Name, d.Message, d.Fix)
		}
		if d.Name == "protected" && (!d.LastSuccess.Equal(earlierSuccess) || d.LastVerified != nil) {
			t.Errorf("the worst database does not decide: success %v, verified %v", d.LastSuccess, d.LastVerified)
		}
	}
	if report.Unprotected() != 8 {
		t.Errorf("%d unprotected, want 8", report.Unprotected())
	}
}

func TestRun_NamespaceRefuses(t *testing.T) {
	e := newEnvironment(t)
	ns := e.namespace(map[string]string{backupapi.LabelNamespace: backupapi.NamespaceDisabled})
	e.create(statefulSet(ns, "db", "postgres:17", on, "true"))
	e.create(statefulSet(ns, "exempt", "postgres:17", backupapi.AnnotationUnprotectedReason, "a test database"))
	if diff := cmp.Diff([]string{"StatefulSet/db: namespace-refuses", "StatefulSet/exempt: exempt"}, reasons(e.run(Options{Namespace: ns}))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRun_OtherKinds(t *testing.T) {
	e := newEnvironment(t)
	ns := e.namespace(nil)
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db"}}
	deployment.Spec.Selector, deployment.Spec.Template = podTemplate("postgis/postgis:17-3.5")
	e.create(deployment)
	app := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"}}
	app.Spec.Selector, app.Spec.Template = podTemplate("ghcr.io/nova/feed:1")
	e.create(app)
	for name, host := range map[string]string{"postgres-rds": "db.abc.eu-central-1.rds.amazonaws.com", "mail": "smtp.example.org"} {
		e.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: host}})
	}
	for name, value := range map[string]string{
		"rds":      "postgres://u:p%40ss@db.abc.eu-central-1.rds.amazonaws.com:5432/app",
		"internal": "postgres://u:p@db." + ns + ".svc:5432/app",
		"other":    "mysql://u:p@db.example.org/app",
	} {
		e.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, StringData: map[string]string{"url": value}})
	}
	without := []string{"Deployment/db: not-requested", "Service/postgres-rds: not-requested"}
	if diff := cmp.Diff(without, reasons(e.run(Options{Namespace: ns}))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	with := []string{"Deployment/db: not-requested", "Secret/rds: not-requested", "Service/postgres-rds: not-requested"}
	report := e.run(Options{Namespace: ns, Secrets: true})
	if diff := cmp.Diff(with, reasons(report)); diff != "" {
		t.Errorf("with Secrets (-want +got)\n%s", diff)
	}
	if text := fmt.Sprint(report); strings.Contains(text, "p%40ss") || strings.Contains(text, "p@ss") {
		t.Errorf("the report shows a password: %s", text)
	}
}

func TestRun_Operators(t *testing.T) {
	e := newEnvironment(t)
	crds := make([]*apiextensions.CustomResourceDefinition, 0, len(operators))
	for _, o := range operators {
		preserve := true
		crds = append(crds, &apiextensions.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: o.resource.Resource + "." + o.resource.Group},
			Spec: apiextensions.CustomResourceDefinitionSpec{
				Group: o.resource.Group, Scope: apiextensions.NamespaceScoped,
				Names: apiextensions.CustomResourceDefinitionNames{Plural: o.resource.Resource, Singular: strings.ToLower(o.kind), Kind: o.kind, ListKind: o.kind + "List"},
				Versions: []apiextensions.CustomResourceDefinitionVersion{{
					Name: o.resource.Version, Served: true, Storage: true,
					Schema: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &apiextensions.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &preserve}},
				}},
			},
		})
	}
	if _, err := envtest.InstallCRDs(e.config, envtest.CRDInstallOptions{CRDs: crds}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = envtest.UninstallCRDs(e.config, envtest.CRDInstallOptions{CRDs: crds}) })
	ns := e.namespace(nil)
	for _, o := range operators {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion(o.resource.Group + "/" + o.resource.Version)
		u.SetKind(o.kind)
		u.SetNamespace(ns)
		u.SetName("orders")
		e.create(u)
	}
	owned := statefulSet(ns, "orders-1", "ghcr.io/zalando/spilo-17:4")
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "acid.zalan.do/v1", Kind: "postgresql", Name: "orders", UID: "1"}}
	e.create(owned)
	if diff := cmp.Diff([]string{"Cluster/orders: not-requested", "postgresql/orders: not-requested"}, reasons(e.run(Options{Namespace: ns}))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	at := time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)
	good := backupapi.Status{Databases: []backupapi.DatabaseStatus{{Name: "a", LastSuccess: &at}}}
	e.sourceCronJob(backupapi.Source{Kind: backupapi.KindSecret, Namespace: ns, Name: "orders-superuser"}, "Cluster/orders", "", good)
	e.sourceCronJob(backupapi.Source{Kind: backupapi.KindSecret, Namespace: ns, Name: "postgres.orders"}, "postgresql/orders", "the Secret was deleted", good)
	if diff := cmp.Diff([]string{"Cluster/orders: protected", "postgresql/orders: suspended"}, reasons(e.run(Options{Namespace: ns}))); diff != "" {
		t.Errorf("with CronJobs of their Secrets (-want +got)\n%s", diff)
	}
}

// Who may list only some kinds gets a report of those, and is told about the others.
func TestRun_MissingPermissions(t *testing.T) {
	e := newEnvironment(t)
	ns := e.namespace(nil)
	e.create(statefulSet(ns, "db", "postgres:17"))
	e.create(&rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "audit-some"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"apps"}, Resources: []string{"statefulsets"}, Verbs: []string{"list"}},
			{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list"}},
		},
	})
	e.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "audit-some"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "audit-some"},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: "auditor"}},
	})
	config := rest.CopyConfig(e.config)
	config.Impersonate.UserName = "auditor"
	audited, err := kubernetes.New(config)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), audited, Options{Namespace: ns, Defaults: defaults(t), Secrets: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"StatefulSet/db: not-requested"}, reasons(report)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, kind := range []string{"CronJobs", "Deployments", "Services", "Secrets"} {
		if !strings.Contains(strings.Join(report.Skipped, "\n"), kind+": no permission") {
			t.Errorf("%s are not named in %q", kind, report.Skipped)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 0 {
		t.Errorf("%d series before the first audit, %v", n, err)
	}
	m.Set(Report{Databases: []Database{
		{Namespace: "nova", Kind: "StatefulSet", Name: "good", Protected: true},
		{Namespace: "nova", Kind: "StatefulSet", Name: "plain", Reason: NotRequested},
		{Namespace: "nova", Kind: "Deployment", Name: "cache", Reason: Exempt},
	}}, time.Unix(7, 0))
	want := `
# HELP novawire_backup_audit_timestamp_seconds Time of the newest audit.
# TYPE novawire_backup_audit_timestamp_seconds gauge
novawire_backup_audit_timestamp_seconds 7
# HELP novawire_postgresql_unprotected 1 for each PostgreSQL database that is not backed up, by reason; 0 for those that are backed up or exempt.
# TYPE novawire_postgresql_unprotected gauge
novawire_postgresql_unprotected{kind="Deployment",name="cache",namespace="nova",reason="exempt"} 0
novawire_postgresql_unprotected{kind="StatefulSet",name="good",namespace="nova",reason=""} 0
novawire_postgresql_unprotected{kind="StatefulSet",name="plain",namespace="nova",reason="not-requested"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
