package resources

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/networkpolicy"
)

func secretOf(name string, labels map[string]string) client.Object {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "nova", Name: name, Labels: labels},
	}
}

func serviceOf(t *testing.T, spec string) *corev1.Service {
	t.Helper()
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "nova", Name: "db"}}
	decode(t, spec, &s.Spec)
	return s
}

func variables(job *batchv1.CronJob) map[string]corev1.EnvVar {
	found := map[string]corev1.EnvVar{}
	for _, e := range job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env {
		found[e.Name] = e
	}
	return found
}

// Whatever the kind of the source, pg-backup gets an address and a login that reach the
// server, and its policies allow them.
func TestServerOf(t *testing.T) {
	var (
		rds    = networkpolicy.Flow{Address: "52.1.2.3", Port: 5432}
		web    = networkpolicy.Flow{Address: "52.1.2.3", Port: 80}
		api    = networkpolicy.Flow{Address: "10.0.1.9", Namespace: "nova", Pod: map[string]string{"app": "api"}, Port: 8080}
		cnpg   = networkpolicy.Flow{Address: "10.0.1.1", Namespace: "nova", Pod: map[string]string{"cnpg.io/cluster": "pg"}, Port: 5432}
		other  = networkpolicy.Flow{Address: "10.0.1.2", Namespace: "nova", Pod: map[string]string{"cnpg.io/cluster": "other"}, Port: 5432}
		spilo  = networkpolicy.Flow{Address: "10.0.1.3", Namespace: "nova", Pod: map[string]string{"application": "spilo", "cluster-name": "pg"}, Port: 5432}
		pods   = networkpolicy.Flow{Address: "10.0.1.4", Namespace: "nova", Pod: map[string]string{"app": "db"}, Port: 6000}
		remote = networkpolicy.Flow{Address: "10.0.1.5", Namespace: "databases", Port: 5432}
	)
	for name, c := range map[string]struct {
		source          client.Object
		secret          backupapi.SecretKey
		address, serves string
		allowed, denied []networkpolicy.Flow
	}{
		"RDS, by its Secret":                        {secretOf("rds", nil), backupapi.SecretKey{}, "", "", []networkpolicy.Flow{rds}, []networkpolicy.Flow{web, api}},
		"CloudNativePG, by its Secret":              {secretOf("pg-app", map[string]string{"cnpg.io/cluster": "pg"}), backupapi.SecretKey{}, "", "Cluster/pg", []networkpolicy.Flow{cnpg}, []networkpolicy.Flow{other, rds}},
		"the Zalando operator, by its Secret":       {secretOf("postgres.pg.credentials", map[string]string{"application": "spilo", "cluster-name": "pg"}), backupapi.SecretKey{}, "pg.nova.svc:5432", "postgresql/pg", []networkpolicy.Flow{spilo}, []networkpolicy.Flow{cnpg, rds}},
		"a label of another application":            {secretOf("redis", map[string]string{"cluster-name": "pg"}), backupapi.SecretKey{}, "", "", []networkpolicy.Flow{rds}, []networkpolicy.Flow{web}},
		"a Service of pods":                         {serviceOf(t, "{selector: {app: db}, ports: [{port: 6432, name: postgres}]}"), backupapi.SecretKey{Name: "db", Key: "user=u,password=p"}, "db.nova.svc:6432", "", []networkpolicy.Flow{pods}, []networkpolicy.Flow{api, rds}},
		"a Service outside of the cluster":          {serviceOf(t, "{type: ExternalName, externalName: db.abc.rds.amazonaws.com}"), backupapi.SecretKey{Name: "db", Key: "user=u,password=p"}, "db.abc.rds.amazonaws.com:5432", "", []networkpolicy.Flow{rds}, []networkpolicy.Flow{web, api}},
		"a Service of another namespace":            {serviceOf(t, "{type: ExternalName, externalName: pg.databases.svc.cluster.local.}"), backupapi.SecretKey{Name: "db", Key: "user=u,password=p"}, "pg.databases.svc.cluster.local:5432", "", []networkpolicy.Flow{remote}, []networkpolicy.Flow{rds, api}},
		"a Service for the Secret of CloudNativePG": {serviceOf(t, "{selector: {app: db}}"), backupapi.SecretKey{Name: "pg-superuser", Key: "user=username,password=password"}, "db.nova.svc:5432", "Cluster/pg", []networkpolicy.Flow{pods}, nil},
		"a Service for the Secret of Zalando":       {serviceOf(t, "{selector: {app: db}}"), backupapi.SecretKey{Name: "postgres.pg.credentials.postgresql.acid.zalan.do", Key: "user=username,password=password"}, "db.nova.svc:5432", "postgresql/pg", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			request := backupapi.DefaultRequest()
			request.Enabled, request.URLSecret, request.BucketRoot = true, c.secret, "s3://b"
			target, config := targetOf(c.source, request), DefaultConfig()
			if refusals := target.Check(); len(refusals) > 0 {
				t.Fatal(refusals)
			}
			backup, drill := config.BackupCronJob(target), config.DrillCronJob(target)
			env := variables(backup)
			if got := env[backupapi.EnvServerAddress].Value; got != c.address {
				t.Errorf("address %q, want %q", got, c.address)
			}
			if got := backup.Annotations[AnnotationServes]; got != c.serves {
				t.Errorf("serves %q, want %q", got, c.serves)
			}
			for _, job := range []*batchv1.CronJob{backup, drill} {
				if image := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image; image != config.Image {
					t.Errorf("%s runs %s, want the published image", job.Name, image)
				}
			}
			for name := range variables(drill) {
				if strings.HasPrefix(name, backupapi.SecretEnvPrefix) || strings.HasPrefix(name, backupapi.ServerEnvPrefix) {
					t.Errorf("the drill sees %s", name)
				}
			}
			var policies []networkingv1.NetworkPolicy
			for _, o := range config.policies(target) {
				policies = append(policies, *o.(*networkingv1.NetworkPolicy))
			}
			for _, f := range c.allowed {
				if !networkpolicy.Allows(policies, "nova", f) {
					t.Errorf("denied: %+v", f)
				}
			}
			for _, f := range c.denied {
				if networkpolicy.Allows(policies, "nova", f) {
					t.Errorf("allowed: %+v", f)
				}
			}
		})
	}
}

// Every key of a Secret is optional: only the kubelet knows which of them exist.
func TestServerOf_SecretKeysAreReferences(t *testing.T) {
	request := backupapi.DefaultRequest()
	target := targetOf(secretOf("rds", nil), request)
	backup := DefaultConfig().BackupCronJob(target)
	env := variables(backup)
	for _, key := range backupapi.ConnectionKeys() {
		from := env[backupapi.SecretVariable(key)].ValueFrom
		if from == nil || from.SecretKeyRef == nil || from.SecretKeyRef.Name != "rds" || from.SecretKeyRef.Key != key || from.SecretKeyRef.Optional == nil || !*from.SecretKeyRef.Optional {
			t.Errorf("key %s: %+v", key, from)
		}
	}
	if env[backupapi.EnvConnectionSecret].Value != "rds" {
		t.Errorf("%s is %q", backupapi.EnvConnectionSecret, env[backupapi.EnvConnectionSecret].Value)
	}
	if _, ok := env[backupapi.EnvDatabases]; ok == (request.Databases == "") {
		t.Errorf("%s is set: %t", backupapi.EnvDatabases, ok)
	}
	list := JobForVerb(backup, nil, VerbList, nil, "token")
	for _, e := range list.Spec.Template.Spec.Containers[0].Env {
		if strings.HasPrefix(e.Name, backupapi.SecretEnvPrefix) || e.Name == backupapi.EnvConnectionSecret {
			t.Errorf("list sees %s", e.Name)
		}
	}
	if source, ok := MadeFor(list); !ok || source != target.Source {
		t.Errorf("the Job was made for %v", source)
	}
}

// The objects of a Secret, a Service and a StatefulSet of one name differ, and each is
// found again from its labels and annotations, however long the name.
func TestMadeFor(t *testing.T) {
	long := "postgres.acid-minimal-cluster.credentials.postgresql.acid.zalan.do"
	names := map[string]string{}
	for _, source := range []backupapi.Source{
		backupapi.StatefulSet("nova", "db"),
		{Kind: backupapi.KindSecret, Namespace: "nova", Name: "db"},
		{Kind: backupapi.KindService, Namespace: "nova", Name: "db"},
		{Kind: backupapi.KindSecret, Namespace: "nova", Name: long},
		{Kind: backupapi.KindSecret, Namespace: "nova", Name: "replication" + long},
	} {
		target := Target{Source: source, Request: backupapi.DefaultRequest()}
		target.Request.Drill = true
		config := DefaultConfig()
		objects := config.Objects(target)
		for _, o := range objects {
			if other, ok := names[o.GetObjectKind().GroupVersionKind().Kind+o.GetName()]; ok {
				t.Errorf("%s of %s and of %s", o.GetName(), source, other)
			}
			names[o.GetObjectKind().GroupVersionKind().Kind+o.GetName()] = source.String()
			if got, ok := MadeFor(o); !ok || got != source || !IsMadeFor(o, source) {
				t.Errorf("%s was made for %v, want %s", o.GetName(), got, source)
			}
			if job, ok := o.(*batchv1.CronJob); ok {
				template := job.Spec.JobTemplate.Spec.Template.ObjectMeta
				template.Namespace = "nova" // the Job controller's
				if got, ok := MadeFor(&template); !ok || got != source {
					t.Errorf("pods of %s were made for %v", source, got)
				}
			}
		}
		if kinds := slices.Compact(slices.Sorted(func(yield func(string) bool) {
			for _, o := range objects {
				if !yield(o.GetObjectKind().GroupVersionKind().Kind) {
					return
				}
			}
		})); len(kinds) != 3 {
			t.Errorf("%s has objects of the kinds %v", source, kinds)
		}
	}
}

// What is left out is a setting of backups alone: a restore or a drill works on what the
// backup has.
func TestEnvironment_Exclusions(t *testing.T) {
	request := backupapi.DefaultRequest()
	request.ExcludeDatabases, request.ExcludeTableData = "test_*", "log_$(x)"
	target := targetOf(secretOf("rds", nil), request)
	backup, drill := DefaultConfig().BackupCronJob(target), DefaultConfig().DrillCronJob(target)
	env := variables(backup)
	if env[backupapi.EnvExcludeDatabases].Value != "test_*" || env[backupapi.EnvExcludeTableData].Value != "log_$$(x)" {
		t.Errorf("the backup has %v", env)
	}
	restore := &batchv1.CronJob{}
	restore.Spec.JobTemplate.Spec = JobForVerb(backup, drill, VerbRestore, nil, "token").Spec
	for _, job := range []*batchv1.CronJob{drill, restore} {
		for name := range variables(job) {
			if strings.HasPrefix(name, "EXCLUDE_") {
				t.Errorf("%s sees %s", job.Name, name)
			}
		}
	}
}
