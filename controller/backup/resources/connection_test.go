package resources

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	backupapi "github.com/nova/novawire/api/backup"
)

func setOf(t *testing.T, spec string) *appsv1.StatefulSet {
	t.Helper()
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "nova", Name: "db"}}
	if err := yaml.UnmarshalStrict([]byte(spec), &set.Spec); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestConnection(t *testing.T) {
	const defaultSecret = "- name: DATABASE_URL\n  valueFrom: {secretKeyRef: {name: postgres-credentials, key: url}}\n"
	cases := []struct {
		name, spec                 string
		env, from, volumes, mounts string
		secret                     backupapi.SecretKey
	}{
		{
			name: "the official image, by value",
			spec: "serviceName: db-svc\ntemplate: {spec: {containers: [{name: db, image: 'postgres:17', env: [{name: POSTGRES_PASSWORD, value: x}]}]}}",
			env:  "- {name: SERVER_ADDRESS, value: 'db-svc.nova.svc:5432'}\n- {name: SERVER_ENV_POSTGRES_PASSWORD, value: x}",
		},
		{
			name: "the official image, by Secret, with another port and references",
			spec: `
serviceName: db-svc
replicas: 3
template:
  spec:
    containers:
      - name: exporter
        image: postgres-exporter
        env: [{name: POSTGRES_PASSWORD, value: exporter}]
      - name: postgres
        image: postgres:17
        ports: [{name: postgresql, containerPort: 6432}]
        env:
          - {name: PGDATA, value: /data}
          - {name: OWNER, valueFrom: {configMapKeyRef: {name: names, key: owner}}}
          - {name: POSTGRES_USER, value: $(OWNER)_admin}
          - {name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: pw}}}`,
			env: `
- {name: SERVER_ADDRESS, value: 'db-0.db-svc.nova.svc:6432'}
- {name: SERVER_ENV_OWNER, valueFrom: {configMapKeyRef: {name: names, key: owner}}}
- {name: SERVER_ENV_POSTGRES_USER, value: $(SERVER_ENV_OWNER)_admin}
- {name: SERVER_ENV_POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: pw}}}`,
		},
		{
			name: "envFrom, which may hold no password",
			spec: "serviceName: db-svc\ntemplate: {spec: {containers: [{name: db, image: 'postgres:17', envFrom: [{prefix: POSTGRES_, secretRef: {name: db}}, {configMapRef: {name: more}}]}]}}",
			env:  "- {name: SERVER_ADDRESS, value: 'db-svc.nova.svc:5432'}\n- name: DATABASE_URL\n  valueFrom: {secretKeyRef: {name: postgres-credentials, key: url, optional: true}}",
			from: "- {prefix: SERVER_ENV_POSTGRES_, secretRef: {name: db}}\n- {prefix: SERVER_ENV_, configMapRef: {name: more}}",
		},
		{
			name: "Bitnami's chart with password files",
			spec: `
serviceName: db-postgresql-hl
template:
  spec:
    containers:
      - name: postgresql
        image: bitnami/postgresql:17
        ports: [{name: tcp-postgresql, containerPort: 5432}]
        env:
          - {name: POSTGRESQL_PORT_NUMBER, value: "5433"}
          - {name: POSTGRES_USER, value: app}
          - {name: POSTGRES_PASSWORD_FILE, value: /opt/bitnami/postgresql/secrets/password}
          - {name: POSTGRES_POSTGRES_PASSWORD_FILE, value: /opt/bitnami/postgresql/secrets/postgres-password}
        volumeMounts:
          - {name: data, mountPath: /opt}
          - {name: postgresql-password, mountPath: /opt/bitnami/postgresql/secrets/}
    volumes:
      - {name: postgresql-password, secret: {secretName: db-postgresql}}`,
			env: `
- {name: SERVER_ADDRESS, value: 'db-postgresql-hl.nova.svc:5433'}
- {name: SERVER_ENV_POSTGRES_USER, value: app}
- {name: SERVER_ENV_POSTGRES_PASSWORD_FILE, value: /opt/bitnami/postgresql/secrets/password}
- {name: SERVER_ENV_POSTGRES_POSTGRES_PASSWORD_FILE, value: /opt/bitnami/postgresql/secrets/postgres-password}`,
			volumes: "- {name: server-0, secret: {secretName: db-postgresql}}",
			mounts:  "- {name: server-0, mountPath: /opt/bitnami/postgresql/secrets/, readOnly: true}",
		},
		{
			name: "a password in the data volume cannot be mounted",
			spec: "serviceName: s\ntemplate: {spec: {containers: [{name: db, image: 'postgres:17', env: [{name: POSTGRES_PASSWORD_FILE, value: /data/pw}], volumeMounts: [{name: data, mountPath: /data}]}]}}",
			env:  "- {name: SERVER_ADDRESS, value: 's.nova.svc:5432'}\n- {name: SERVER_ENV_POSTGRES_PASSWORD_FILE, value: /data/pw}",
		},
		{
			name: "a container that describes no login",
			spec: "serviceName: s\ntemplate: {spec: {containers: [{name: db, image: 'postgres:17', env: [{name: PGDATA, value: /data}]}]}}",
			env:  defaultSecret,
		},
		{
			name: "no Service",
			spec: "template: {spec: {containers: [{name: db, image: 'postgres:17', env: [{name: POSTGRES_PASSWORD, value: x}]}]}}",
			env:  defaultSecret,
		},
		{
			name:   "a Secret that holds user and password",
			spec:   "serviceName: s\ntemplate: {spec: {containers: [{name: db, image: 'postgres:17'}]}}",
			secret: backupapi.SecretKey{Name: "db", Key: "user=username,password=password"},
			env: `
- {name: SERVER_ENV_POSTGRES_USER, valueFrom: {secretKeyRef: {name: db, key: username}}}
- {name: SERVER_ENV_POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
- {name: SERVER_ADDRESS, value: 's.nova.svc:5432'}`,
		},
		{
			name:   "a Secret that holds every part",
			spec:   "template: {spec: {containers: [{name: db, image: 'postgres:17'}]}}",
			secret: backupapi.SecretKey{Name: "db", Key: "user=u,password=p,host=h,port=o"},
			env: `
- {name: SERVER_ENV_POSTGRES_USER, valueFrom: {secretKeyRef: {name: db, key: u}}}
- {name: SERVER_ENV_POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: p}}}
- {name: SERVER_ENV_HOST, valueFrom: {secretKeyRef: {name: db, key: h}}}
- {name: SERVER_ENV_PORT, valueFrom: {secretKeyRef: {name: db, key: o}}}
- {name: SERVER_ADDRESS, value: '$(SERVER_ENV_HOST):$(SERVER_ENV_PORT)'}`,
		},
		{
			name:   "a Secret that the request names",
			spec:   "serviceName: s\ntemplate: {spec: {containers: [{name: db, image: 'postgres:17', env: [{name: POSTGRES_PASSWORD, value: x}]}]}}",
			secret: backupapi.SecretKey{Name: "own", Key: "dsn"},
			env:    "- name: DATABASE_URL\n  valueFrom: {secretKeyRef: {name: own, key: dsn}}",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			request := backupapi.DefaultRequest()
			request.URLSecret = c.secret
			got := connectionOf(targetOf(setOf(t, c.spec), request))
			var want connection
			decode(t, c.env, &want.env)
			decode(t, c.from, &want.envFrom)
			decode(t, c.volumes, &want.volumes)
			decode(t, c.mounts, &want.mounts)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(connection{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// targetOf returns a target as the controller does.
func targetOf(o client.Object, r backupapi.Request) Target {
	return Target{Source: SourceOf(o), UID: o.GetUID(), Server: ServerOf(o), Request: r}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// Only the verbs that reach the database see its login.
func TestConnection_Verbs(t *testing.T) {
	set := setOf(t, `
serviceName: s
template:
  spec:
    containers:
      - name: db
        image: postgres:17
        env: [{name: POSTGRES_PASSWORD_FILE, value: /secrets/pw}]
        envFrom: [{secretRef: {name: db}}]
        volumeMounts: [{name: pw, mountPath: /secrets}]
    volumes: [{name: pw, secret: {secretName: db}}]`)
	target := targetOf(set, backupapi.DefaultRequest())
	c := DefaultConfig()
	backup, drill := c.BackupCronJob(target), c.DrillCronJob(target)
	jobs := map[string]corev1.PodSpec{
		VerbRun: backup.Spec.JobTemplate.Spec.Template.Spec, VerbDrill: drill.Spec.JobTemplate.Spec.Template.Spec,
	}
	for _, verb := range []string{VerbRestore, VerbList, VerbVerify} {
		jobs[verb] = JobForVerb(backup, drill, verb, nil, "token").Spec.Template.Spec
	}
	for verb, pod := range jobs {
		want := 0
		if verb == VerbRun || verb == VerbRestore {
			want = 4 // address, variable, envFrom, volume
		}
		if got := loginParts(pod); got != want {
			t.Errorf("%s sees %d parts of the login, want %d", verb, got, want)
		}
		volumes := map[string]bool{}
		for _, v := range pod.Volumes {
			volumes[v.Name] = true
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts the volume %s, which does not exist", verb, m.Name)
			}
		}
	}
}

func loginParts(pod corev1.PodSpec) (n int) {
	for _, e := range pod.Containers[0].Env {
		if e.Name == backupapi.EnvServerAddress || strings.HasPrefix(e.Name, backupapi.ServerEnvPrefix) {
			n++
		}
	}
	for _, v := range pod.Volumes {
		if v.Secret != nil && v.Secret.SecretName == "db" {
			n++
		}
	}
	return n + len(pod.Containers[0].EnvFrom)
}

func TestTarget_Check(t *testing.T) {
	for secret, problem := range map[string]bool{"": false, "url": false, "user=u,password=p": true, "user=u,password=p,host=h": false} {
		r := backupapi.DefaultRequest()
		r.Enabled, r.URLSecret = true, backupapi.SecretKey{Name: "db", Key: secret}
		without, with := setOf(t, "replicas: 1"), setOf(t, "serviceName: s")
		if got := len(targetOf(without, r).Check()) > 0; got != problem {
			t.Errorf("%q without a Service: refused %t", secret, got)
		}
		if len(targetOf(with, r).Check()) > 0 {
			t.Errorf("%q with a Service is refused", secret)
		}
	}
}
