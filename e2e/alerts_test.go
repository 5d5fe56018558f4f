//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// afterDeletion are the alerts that TestAlerts_ManagerDeleted and TestAlerts_WebhooksDeleted wait for.
var afterDeletion = []string{"NovawireWebhookConfigurationMissing", "NovawireAdmissionProbeFails", "NovawireDown", "NovawireBackupUnwatched", "NovawirePostgreSQLUnprotected"}

// TestAlerts_ManagerDeleted deletes the manager's Deployment. It runs first and alone.
func TestAlerts_ManagerDeleted(t *testing.T) {
	m := installMonitoring(t)
	d := database{inNamespace(t, true)}
	idle := postgres(d.name, 17)
	idle.Spec.Replicas = new(int32(0))
	forgotten := idle.DeepCopy()
	forgotten.Name = "orders-db"
	d.create(idle)
	d.create(forgotten)
	d.enable()
	eventually(t, "Prometheus scrapes both replicas and knows the backup", time.Minute, func(ctx context.Context) (bool, error) {
		up, err := m.query(ctx, `up{job="novawire",namespace="`+systemNamespace+`"} == 1`)
		info, _ := m.query(ctx, `novawire_backup_info{namespace="`+d.name+`",statefulset="`+statefulName+`"}`)
		return err == nil && len(up) == 2 && len(info) == 1, nil
	})

	since := time.Now()
	restore := restoreLater(t)
	kubectl(t, "", "-n", systemNamespace, "delete", "deployment", webhookName)
	m.expect(since, nil, alert("NovawireDown", "severity", "critical"), alert("NovawireBackupUnwatched"))
	restore()
	waitUntilWired(d.namespace)
	// A new leader audits at once.
	m.expect(since, nil, alert("NovawirePostgreSQLUnprotected", "namespace", d.name, "name", "orders-db"))
}

// restoreLater returns a function that installs the product again, which also runs if the test
// has failed.
func restoreLater(t *testing.T) (restore func()) {
	restore = func() {
		kubectl(t, "", "apply", "--server-side", "--force-conflicts", "-k", "../manifests/overlays/kind")
		kubectl(t, "", "-n", systemNamespace, "rollout", "status", "deployment/"+webhookName, "--timeout", "2m")
	}
	t.Cleanup(func() {
		if t.Failed() {
			restore()
		}
	})
	return restore
}

// TestAlerts_WebhooksDeleted deletes both webhook configurations. It runs alone.
func TestAlerts_WebhooksDeleted(t *testing.T) {
	m := installMonitoring(t)
	n := inNamespace(t, true)
	eventually(t, "the probe succeeds", time.Minute, func(ctx context.Context) (bool, error) {
		success, err := m.query(ctx, "novawire_admission_probe_success == 1")
		return err == nil && len(success) == 1, nil
	})
	restore, since := restoreLater(t), time.Now()
	kubectl(t, "", "delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", webhookName)
	m.expect(since, nil, alert("NovawireWebhookConfigurationMissing", "kind", "MutatingWebhookConfiguration"),
		alert("NovawireWebhookConfigurationMissing", "kind", "ValidatingWebhookConfiguration"), alert("NovawireAdmissionProbeFails"))
	t.Logf("told after %s", time.Since(since).Round(time.Millisecond))
	restore()
	waitUntilWired(n)
}

// TestAlerts causes each failure that somebody is called for, and waits until its alert has
// come through Prometheus and Alertmanager. [shortened] says how time is made short.
func TestAlerts(t *testing.T) {
	t.Parallel()
	m := installMonitoring(t)
	n := inNamespace(t, true)
	d := newDatabase(t, 17)
	t.Cleanup(func() { removePluginHosts(t) })
	failures := map[string]func(*testing.T, monitoring){
		"the requests of a service fail":                  func(t *testing.T, m monitoring) { serviceFails(m, namespace{n.Resources, t, n.name}) },
		"backups fail, are late and lose tables":          func(t *testing.T, m monitoring) { backupsFail(m, database{namespace{d.Resources, t, d.name}}) },
		"the requests of a service without counters fail": spansFail,
		"reviews are slow and unreadable":                 reviewsFail,
		"managers have no rights and wrong files":         managersFail,
		"the backend of a sidecar is down":                sidecarFails,
		"pods are older than the label and the settings":  podsDrift,
		"CloudWatch Logs is down and refuses old lines":   logsFail,
	}
	t.Run("arrive", func(t *testing.T) {
		for name, fail := range failures {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				fail(t, monitoring{namespace{m.Resources, t, m.name}})
			})
		}
	})
	t.Run("none is left out", func(t *testing.T) {
		got, err := m.received(t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules(t) {
			if !slices.Contains(afterDeletion, r.Alert) && !slices.ContainsFunc(got, alert(r.Alert).within) {
				t.Errorf("%s has not been fired", r.Alert)
			}
		}
	})
	values := strings.NewReplacer("$namespace", n.name, "$service", "shop")
	t.Run("the programs expose what the expressions name", func(t *testing.T) { checkExpressions(t, m, values) })
	t.Run("the commands of the runbooks run", func(t *testing.T) {
		checkRunbooks(t, m, namespace{n.Resources, t, n.name}, database{namespace{d.Resources, t, d.name}})
	})
	t.Run("the dashboards have answers", func(t *testing.T) { writeDashboards(t, m, values) })
}

// A wired service is found by the label and the annotations that injection sets.
func serviceFails(m monitoring, n namespace) {
	n.create(deployment(n.name, "shop"))
	n.pod("shop", readyOrSucceeded)
	of := []string{"namespace", n.name, "service", "shop"}
	m.expect(time.Time{}, func(ctx context.Context) { _, _ = n.get(ctx, "shop", 8080, "/fail") },
		alert("NovaHTTPServerErrorsFastBurn", of...), alert("NovaHTTPServerErrorsSlowBurn", of...), alert("NovaHTTPServerErrors", of...),
		alert("NovaGRPCClientErrorsFastBurn", of...), alert("NovaGRPCClientErrorsSlowBurn", of...), alert("NovaGRPCClientErrors", of...),
		alert("NovaRedisTimeouts", of...))
}

// spansFail has an app whose own counters nobody scrapes: what fails is in its spans alone.
func spansFail(t *testing.T, m monitoring) {
	n := inNamespace(t, true)
	d := deployment(n.name, "teller")
	d.Spec.Template.Annotations = map[string]string{injection.AnnotationSpanMetrics: "true", injection.AnnotationMetrics: "false"}
	n.create(d)
	pod := n.pod("teller", readyOrSucceeded)
	address := n.forward(pod, sidecarapi.PortOTLPHTTP) + "/v1/traces"
	of := []string{"namespace", n.name, "service", "teller"}
	m.expect(time.Time{}, func(ctx context.Context) { postJSON(ctx, address, failedSpans) },
		alert("NovaHTTPServerErrorsFastBurn", of...), alert("NovaHTTPServerErrors", of...),
		alert("NovaGRPCClientErrorsFastBurn", of...), alert("NovaGRPCClientErrors", of...), alert("NovaRedisTimeouts", of...))
}

// failedSpans are an HTTP request, a gRPC call and a Redis command that fail.
const failedSpans = `{"resourceSpans":[{"scopeSpans":[{"spans":[
	{"traceId":"0123456789abcdef0123456789abcdef","spanId":"0123456789abcde0","name":"GET /cart","kind":2,"startTimeUnixNano":"1800000000000000000","endTimeUnixNano":"1800000000100000000",
	 "attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"http.response.status_code","value":{"intValue":"500"}}]},
	{"traceId":"0123456789abcdef0123456789abcdef","spanId":"0123456789abcde1","name":"nova.Users/Get","kind":3,"startTimeUnixNano":"1800000000000000000","endTimeUnixNano":"1800000000050000000",
	 "attributes":[{"key":"rpc.system","value":{"stringValue":"grpc"}},{"key":"rpc.grpc.status_code","value":{"intValue":"14"}}]},
	{"traceId":"0123456789abcdef0123456789abcdef","spanId":"0123456789abcde2","name":"GET","kind":3,"startTimeUnixNano":"1800000000000000000","endTimeUnixNano":"1800000000020000000",
	 "attributes":[{"key":"db.system.name","value":{"stringValue":"redis"}},{"key":"error.type","value":{"stringValue":"timeout"}}],"status":{"code":2}}
]}]}]}`

// postJSON sends a body. A failure is not reported: the body is sent again.
func postJSON(ctx context.Context, address, body string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return
	}
	request.Header.Set("Content-Type", "application/json")
	if answer, err := http.DefaultClient.Do(request); err == nil {
		_ = answer.Body.Close()
	}
}

// reviewsFail sends the manager, through its Service, reviews that it cannot read, slowly.
func reviewsFail(t *testing.T, m monitoring) {
	system := namespace{resourcesIn(t, systemNamespace), t, systemNamespace}
	m.expect(time.Time{}, func(ctx context.Context) {
		system.post(ctx, "services", "https:"+webhookName+":webhook", "/mutate-pod", &slowReader{strings.NewReader(`{"kind"`), 600 * time.Millisecond})
	}, alert("NovawireFailOpen"), alert("NovawireAdmissionSlow", "webhook", "pod"))
}

// slowReader is a client that makes a pause before it sends.
type slowReader struct {
	io.Reader
	pause time.Duration
}

func (r *slowReader) Read(b []byte) (int, error) {
	time.Sleep(r.pause)
	r.pause = 0
	return r.Reader.Read(b)
}

// managersFail runs two managers that may watch namespaces, and nothing else. One serves an expired certificate from
// files and gets a wrong configuration; the other cannot write its certificates.
func managersFail(t *testing.T, m monitoring) {
	n := inNamespace(t, false)
	certificate, key := expiredCertificate(t)
	n.create(&corev1.Secret{ObjectMeta: meta(n.name, "certificate"), StringData: map[string]string{"tls.crt": certificate, "tls.key": key}})
	n.create(&corev1.ConfigMap{ObjectMeta: meta(n.name, "config"), Data: map[string]string{
		"config.yaml": "apiVersion: config.nova.dev/v1alpha1\nkind: ManagerConfiguration\n",
	}})
	kubectl(t, "", "create", "clusterrolebinding", n.name, "--clusterrole", webhookName, "--serviceaccount", n.name+":default")
	t.Cleanup(func() { kubectl(t, "", "delete", "clusterrolebinding", n.name) })
	pod := n.manager("expired", "--cert-mode=files", "--cert-dir=/certs", "--config=/config/config.yaml", "--config-interval=1s")
	n.manager("unable", "--cert-mode=self", "--namespace="+n.name)
	of := []string{"namespace", n.name, "pod", pod.Name}
	m.expect(time.Time{}, nil, alert("NovawireCertificateExpired", append(of, "kind", "leaf")...), alert("NovawireCertificateNotRenewed", append(of, "kind", "leaf")...),
		alert("NovawireCertificateRotationFails", "namespace", n.name))
	kubectl(t, "", "-n", n.name, "patch", "configmap", "config", "--type", "merge", "-p", `{"data":{"config.yaml":"injektion: {}\n"}}`)
	kubectl(t, "", "-n", n.name, "annotate", "pod", pod.Name, "e2e/sync=now") // the kubelet writes the file at once
	m.expect(time.Time{}, nil, alert("NovawireConfigReloadFailed", of...))
}

// podsDrift has a namespace opt in after its pods were created; one of them claims that it was
// wired with another configuration.
func podsDrift(t *testing.T, m monitoring) {
	n := inNamespace(t, false)
	missed, older := gatedPod(n.name, "missed"), gatedPod(n.name, "older")
	older.Annotations = map[string]string{injection.AnnotationStatus: `{"config":"older","collector":"none"}`}
	n.create(missed)
	n.create(older)
	kubectl(t, "", "label", "namespace", n.name, injection.LabelWiring+"="+injection.WiringEnabled)
	m.expect(time.Time{}, nil, alert("NovawirePodsNotWired", "namespace", n.name), alert("NovawirePodsStale", "namespace", n.name))
}

// manager runs a manager beside the installed one, scraped as a service is.
func (n namespace) manager(name string, args ...string) *corev1.Pod {
	n.t.Helper()
	d := deployment(n.name, name)
	d.Spec.Template.Labels[injection.LabelMetrics] = "true"
	d.Spec.Template.Annotations = map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
	spec := &d.Spec.Template.Spec
	spec.AutomountServiceAccountToken = new(true)
	spec.Volumes = []corev1.Volume{
		{Name: "certs", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "certificate"}}},
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}},
	}
	c := &spec.Containers[0]
	c.Image, c.ReadinessProbe = "ghcr.io/nova/novawire:dev", nil
	c.Args = append([]string{"--controllers=false"}, args...)
	c.VolumeMounts = []corev1.VolumeMount{{Name: "certs", MountPath: "/certs"}, {Name: "config", MountPath: "/config"}}
	n.create(d)
	return n.pod(name, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
}

func expiredCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour), DNSNames: []string{"expired"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func backupsFail(m monitoring, d database) {
	d.enable()
	of := []string{"namespace", d.name, "statefulset", statefulName}
	ofDatabase := append(slices.Clone(of), "database", "nova_auth")
	m.expect(time.Time{}, nil, alert("NovawireBackupNever", of...))
	d.backup("now")
	d.sql("nova_auth", "DROP TABLE accounts")
	d.backup("now")
	m.expect(time.Time{}, nil, alert("NovawireBackupAnomaly", ofDatabase...))
	oldest := slices.Min(d.manifests())
	kubectl(d.t, "", "-n", d.name, "exec", "deploy/s3", "--", "sh", "-c", `rm "$(ls -d /s3/data/`+bucket+"/"+strings.TrimSuffix(oldest, "manifest.json")+`* | grep -v json | head -1)"`)
	d.backup("drill")
	m.expect(time.Time{}, nil, alert("NovawireBackupNotVerified", ofDatabase...))
	d.backup("now")
	m.expect(time.Time{}, nil, alert("NovawireBackupNotGood", ofDatabase...))
	kubectl(d.t, "", "-n", d.name, "patch", "secret", "postgres-credentials", "--type", "merge", "-p", fmt.Sprintf(`{"stringData":{"url":%q,"password":"wrong"}}`, d.url("wrong")))
	if out, err := d.novawire("backup", "now", "sts/"+statefulName, "-n", d.name); err == nil {
		d.t.Errorf("novawire backup now succeeded with a wrong password:\n%s", out)
	}
	m.expect(time.Time{}, nil, alert("NovawireBackupFailed", append(of, "category", string(backupapi.CategoryPermission))...),
		alert("NovawireBackupMissed", ofDatabase...), alert("NovawireBackupAuditStale"))
}

// sidecarFails has an app send more than the queue holds to a backend that does not exist,
// and a span that no backend takes.
func sidecarFails(t *testing.T, m monitoring) {
	n := inNamespace(t, true)
	n.create(&corev1.Secret{ObjectMeta: meta(n.name, "telemetry"), StringData: map[string]string{
		sidecarapi.EnvBackend: sidecarapi.BackendGateway, sidecarapi.EnvEndpoint: "http://127.0.0.1:1",
	}})
	d := deployment(n.name, "talker")
	c := &d.Spec.Template.Spec.Containers[0]
	c.Image, c.Ports, c.ReadinessProbe = sdkImage, nil, nil
	c.Args = []string{"-traces=1000000", "-children=200", "-every=50ms"}
	n.create(d)
	pod := n.pod("talker", readyOrSucceeded)
	of := []string{"namespace", n.name, "pod", pod.Name, "signal", "traces"}
	oversize := fmt.Sprintf(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0123456789abcdef0123456789abcdef","spanId":"0123456789abcdef","name":%q}]}]}]}`, strings.Repeat("x", 3<<20))
	address := n.forward(pod, 4318) + "/v1/traces"
	m.expect(time.Time{}, func(ctx context.Context) { postJSON(ctx, address, oversize) },
		alert("NovawireSidecarDropped", append(of, "reason", "queue_full")...),
		alert("NovawireSidecarQueueFilling", of...),
		alert("NovawireSidecarRefused", append(of, "reason", "oversize")...))
	if err := n.Delete(context.Background(), &appsv1.Deployment{ObjectMeta: meta(n.name, "talker")}); err != nil {
		t.Error(err)
	}
}
