package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/controller/backup/resources"
)

type checked struct{ Level, Check, Text, Fix string }

// broken is something that check must find.
type broken struct {
	do   func(*explainTest)
	want checked // Text and Fix are parts
	mend bool    // the fix is a command that mends it
}

// check is judged on a real API server. No kubelet runs, so that the certificates of
// replicas are never ok here; the end-to-end tests have them.
func TestCheck(t *testing.T) {
	m := startManager(t)
	e := &explainTest{environment: m, parent: m, bundle: m.read("tls.crt")}
	e.shell("kubectl apply --server-side -f ../../manifests/base/rbac.yaml -f ../../manifests/base/backup-rbac.yaml")
	deployment := managerDeployment(2)
	e.create(deployment)
	deployment.Status.Replicas, deployment.Status.ReadyReplicas = 2, 2
	if err := e.client.Status().Update(e.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	e.namespace = m.namespace(nil)
	for _, check := range []string{"server", "manager", "webhooks", "rights", "namespaces", "names", "backups"} {
		for _, found := range e.check(check) {
			if found.Level != "ok" {
				t.Errorf("in order, but: %+v", found)
			}
		}
	}
	for name, c := range map[string]broken{
		"the mutating configuration alone was deleted": {
			do:   (*explainTest).deleteWebhook,
			want: checked{"fail", "webhooks", "MutatingWebhookConfiguration novawire is missing: no pod is wired", "check webhooks --manifest"},
		},
		"a failurePolicy that stops pods": {
			do: func(e *explainTest) {
				e.shell(`kubectl patch mutatingwebhookconfiguration novawire --type=json -p '[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}]'`)
			},
			want: checked{"fail", "webhooks", "pods.inject.nova.dev: failurePolicy is not as shipped", "replace -f -"},
		},
		"a limit range below the sidecar": {
			do: func(e *explainTest) {
				e.create(&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: e.namespace}, Spec: corev1.LimitRangeSpec{
					Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}}},
				}})
				e.eventually("known to the manager", func() bool { return e.has(checked{"warn", "namespaces", "limit-range", ""}) })
			},
			want: checked{"warn", "namespaces", "wired without the sidecar: the limits of the namespace refuse it (limit-range memory)", "annotate namespace"}, mend: true,
		},
		"a quota that has room for the app alone": {
			do: func(e *explainTest) {
				e.create(&corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small", Namespace: e.namespace}, Spec: corev1.ResourceQuotaSpec{
					Hard: corev1.ResourceList{corev1.ResourceRequestsMemory: resource.MustParse("16Mi")},
				}})
				e.shell(`kubectl -n ` + e.namespace + ` patch resourcequota small --subresource=status --type=merge -p '{"status":{"hard":{"requests.memory":"16Mi"},"used":{"requests.memory":"0"}}}'`)
				e.eventually("known to the manager", func() bool { return e.has(checked{"warn", "namespaces", "resource-quota", ""}) })
			},
			want: checked{"warn", "namespaces", "the limits of the namespace refuse it (resource-quota requests.memory)", "annotate namespace"}, mend: true,
		},
		"the manager lost its rights": {
			do: func(e *explainTest) {
				if err := e.client.Delete(e.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "novawire"}}); err != nil {
					e.Fatal(err)
				}
				e.eventually("without the right", func() bool { return e.has(checked{"fail", "rights", "get namespaces", ""}) })
			},
			want: checked{"fail", "rights", "system:serviceaccount:novawire-system:novawire", "install the ClusterRoles"},
		},
		"a Secret of a backup is missing": {
			do:   func(e *explainTest) { e.create(cronJobWithSecret(e.namespace)) },
			want: checked{"fail", "backups", "does not exist: CronJob nightly cannot run", "docs/secrets.md"},
		},
		"two workloads with one service name": {
			do: func(e *explainTest) {
				for _, kind := range []string{"StatefulSet", "DaemonSet"} {
					pod := podIn(e.namespace)
					pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: "feed", UID: "1", Controller: new(true)}}
					e.create(pod)
				}
			},
			want: checked{"warn", "names", "the service name feed belongs to DaemonSet feed and StatefulSet feed", "inject.nova.dev/service-name"},
		},
		"a service name of one run": {
			do: func(e *explainTest) {
				pod := podIn(e.namespace)
				pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "import-20261126", UID: "1", Controller: new(true)}}
				e.create(pod)
			},
			want: checked{"warn", "names", "import-20261126 of Job import-20261126 ends in 20261126", "service-name: import "},
		},
		"the manager is scaled to zero": {
			do:   func(e *explainTest) { e.shell("kubectl -n novawire-system scale deployment/novawire --replicas=0") },
			want: checked{"fail", "manager", "scaled to zero", "scale deployment/novawire --replicas=2"}, mend: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			sub := *m
			sub.TB = t
			e := &explainTest{environment: &sub, parent: m, bundle: e.bundle}
			e.namespace = sub.namespace(nil)
			defer e.restore()
			if e.has(c.want) {
				t.Fatal("it is found before it is broken")
			}
			c.do(e)
			found := e.check(c.want.Check)
			at := find(found, c.want)
			if at == nil {
				t.Fatalf("want %+v, got:\n%+v", c.want, found)
			}
			if !c.mend {
				return
			}
			e.shell(at.Fix)
			e.eventually("mended", func() bool { return !e.has(c.want) })
		})
	}
}

// restore puts back what a case has broken.
func (e *explainTest) restore() {
	e.shell("kubectl apply --server-side --force-conflicts -f ../../manifests/base/rbac.yaml; kubectl delete mutatingwebhookconfiguration novawire --ignore-not-found; " +
		"novawire check webhooks --manifest | kubectl apply --server-side --force-conflicts -f - || true")
	e.reachable("check webhooks")
}

func (e *explainTest) has(want checked) bool { return find(e.check(want.Check), want) != nil }

func find(all []checked, want checked) *checked {
	for i, found := range all {
		if found.Level == want.Level && strings.Contains(found.Text, want.Text) && strings.Contains(found.Fix, want.Fix) {
			return &all[i]
		}
	}
	return nil
}

// check returns the findings of one check.
func (e *explainTest) check(name string) (all []checked) {
	e.Helper()
	out, errs, code := cli(e, "check", "-o", "json", "--config", filepath.Join(e.dir, "config.yaml"), "--kubeconfig", filepath.Join(e.dir, "kubeconfig"))
	var result struct{ Findings []checked }
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		e.Fatalf("%v, exit %d\n%s\n%s", err, code, out, errs)
	}
	for _, found := range result.Findings {
		if found.Check == name {
			all = append(all, found)
		}
	}
	if len(all) == 0 {
		e.Fatalf("nothing about %s:\n%s", name, out)
	}
	return all
}

func cronJobWithSecret(namespace string) client.Object {
	return &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly", Namespace: namespace, Labels: map[string]string{resources.LabelManagedBy: resources.ManagedBy}},
		Spec: batchv1.CronJobSpec{Schedule: "0 1 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "a", Image: "a", Env: []corev1.EnvVar{{
				Name: "DATABASE_URL", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "absent"}, Key: "url"}},
			}}}}},
		}}}},
	}
}
