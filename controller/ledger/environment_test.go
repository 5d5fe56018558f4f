package ledger

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	ledgerapi "github.com/nova/novawire/api/ledger"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/controller/drift"
	"github.com/nova/novawire/internal/testing/cluster"
	"github.com/nova/novawire/internal/testing/fakeotlp"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := cluster.Run(m)
	if path, err := sidecarProgram(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// sidecarProgram is the sidecar, built once.
var sidecarProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "novawire-ledger-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "novawire-sidecar")
	build := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", path, "../../cmd/novawire-sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the sidecar: %w\n%s", err, out)
	}
	return path, nil
})

const system = "novawire-system"

// environment is an API server with a namespace of a test, a backend, and a kubelet that the
// test itself is.
type environment struct {
	*testing.T
	admin     client.Client
	config    *rest.Config // with the rights of the manifests
	namespace string
	backend   *fakeotlp.Receiver
	writes    cluster.Writes // of the replicas
	ids       atomic.Int64   // of containers and of spans
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	config := cluster.Config(t)
	config.QPS = -1
	admin, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	backend, err := fakeotlp.Start(t.Context(), fakeotlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Close)
	e := &environment{T: t, admin: admin, backend: backend}
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}}); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "ledger-"}}
	e.create(ns)
	e.namespace = ns.Name
	e.config = e.restricted(config)
	t.Cleanup(func() { // another test has accounts of its own
		_ = admin.DeleteAllOf(context.WithoutCancel(t.Context()), &corev1.ConfigMap{}, client.InNamespace(system), client.MatchingLabels(labels))
	})
	return e
}

func (e *environment) create(o client.Object) {
	e.Helper()
	if err := e.admin.Create(e.Context(), o); err != nil {
		e.Fatal(err)
	}
}

// restricted returns the configuration of a user with the rights of the manifests.
func (e *environment) restricted(config *rest.Config) *rest.Config {
	e.Helper()
	user := strings.ToLower(e.Name())
	text, err := os.ReadFile("../../manifests/base/backup-rbac.yaml")
	if err != nil {
		e.Fatal(err)
	}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(document), &role); err != nil || !strings.HasSuffix(role.Kind, "Role") {
			continue
		}
		kind := role.Kind
		role.Name, role.Namespace, role.Kind = role.Name+"-"+user, "", "ClusterRole"
		e.create(&role)
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}
		if kind == "Role" {
			e.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: system}, RoleRef: ref, Subjects: subjects})
		} else {
			e.create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: ref, Subjects: subjects})
		}
	}
	as := rest.CopyConfig(config)
	as.Impersonate.UserName = user
	as.Wrap(e.writes.Record)
	return as
}

// replica is a replica of the manager: it observes, and counts while it leads.
type replica struct {
	*environment
	observer *Observer
	metrics  *Metrics
	asks     atomic.Int64
	stop     func()
}

func (e *environment) replica() *replica {
	e.Helper()
	pods, err := drift.NewCache(e.config, cache.Options{Scheme: scheme.Scheme})
	if err != nil {
		e.Fatal(err)
	}
	metrics := NewMetrics(prometheus.NewRegistry())
	observer := NewObserver(pods, metrics)
	r := &replica{environment: e, observer: observer, metrics: metrics}
	transport := observer.asker.client.Transport
	observer.asker.client.Transport = cluster.RoundTripper(func(q *http.Request) (*http.Response, error) {
		r.asks.Add(1)
		return transport.RoundTrip(q)
	})
	r.stop = e.run(observer.Start)
	e.eventually("observing", observer.complete)
	return r
}

// lead makes the replica the leader until the function that it returns is called.
func (r *replica) lead() (stop func()) {
	r.Helper()
	mgr, err := manager.New(r.config, manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		r.Fatal(err)
	}
	err = Add(mgr, Options{
		Namespace: system, Observer: r.observer, Metrics: r.metrics,
		Interval: 20 * time.Millisecond, StoreInterval: 100 * time.Millisecond, AskInterval: 50 * time.Millisecond,
	})
	if err != nil {
		r.Fatal(err)
	}
	return r.run(mgr.Start)
}

// run runs something in the background.
func (e *environment) run(start func(context.Context) error) (stop func()) {
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.Context()))
	go func() { ended <- start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			e.Error(err)
		}
	})
	e.Cleanup(stop)
	return stop
}

func (e *environment) eventually(what string, condition func() bool) {
	e.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); {
		if time.Now().After(deadline) {
			e.Fatalf("not within a minute: %s; stored: %+v", what, e.stored())
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-e.Context().Done():
		}
	}
}

// stored returns what the ConfigMaps have of the test's namespace, by service.
func (e *environment) stored() map[string]ledgerapi.Service {
	var accounts []*ledgerapi.Account
	for i := range ledgerapi.Shards {
		var c corev1.ConfigMap
		if err := e.admin.Get(context.WithoutCancel(e.Context()), client.ObjectKey{Namespace: system, Name: ledgerapi.ShardName(i)}, &c); err != nil {
			continue
		}
		a, err := ledgerapi.Decode(c.BinaryData[ledgerapi.Key])
		if err != nil {
			e.Error(err)
			continue
		}
		accounts = append(accounts, a)
	}
	services := map[string]ledgerapi.Service{}
	for _, s := range ledgerapi.Report(accounts...) {
		if s.Namespace == e.namespace {
			services[s.Name] = s
		}
	}
	return services
}

// pod is a pod whose sidecar is a process of this machine.
type pod struct {
	*environment
	object       *corev1.Pod
	process      *exec.Cmd
	otlp, status string
	message      string // the termination file
	accepted     int64  // spans that the sidecar took
}

func (e *environment) pod(service string) *pod {
	e.Helper()
	always := corev1.ContainerRestartPolicyAlways
	p := &pod{environment: e, otlp: freeAddress(e), status: freeAddress(e)}
	p.object = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, GenerateName: service + "-"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "app"}},
		InitContainers: []corev1.Container{{Name: sidecarapi.ContainerName, Image: "sidecar", RestartPolicy: &always, Env: []corev1.EnvVar{
			{Name: sidecarapi.EnvResourceAttributes, Value: "service.name=" + service},
			{Name: sidecarapi.EnvMetricsListen, Value: p.status},
		}}},
	}}
	e.create(p.object)
	p.start()
	return p
}

// start starts the sidecar, as its kubelet does, and reports that.
func (p *pod) start() {
	p.Helper()
	path, err := sidecarProgram()
	if err != nil {
		p.Fatal(err)
	}
	p.message = filepath.Join(p.TempDir(), "termination-log")
	if err := os.WriteFile(p.message, nil, 0o600); err != nil {
		p.Fatal(err)
	}
	process := exec.Command(path)
	process.Env = append(os.Environ(), sidecarapi.EnvEndpoint+"=http://"+p.backend.GRPC(), sidecarapi.EnvFlushInterval+"=20ms",
		sidecarapi.EnvPodUID+"="+string(p.object.UID), sidecarapi.EnvListen+"="+p.otlp, sidecarapi.EnvMetricsListen+"="+p.status,
		sidecarapi.EnvTerminationFile+"="+p.message, sidecarapi.EnvDrainTimeout+"=200ms")
	if err := process.Start(); err != nil {
		p.Fatal(err)
	}
	p.process = process
	p.Cleanup(func() { _ = process.Process.Kill(); _, _ = process.Process.Wait() })
	p.eventually("the sidecar is ready", func() bool {
		response, err := http.Get("http://" + p.status + "/ready")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	p.report(func(s *corev1.ContainerStatus) {
		if s.ContainerID != "" {
			s.RestartCount++
		}
		s.ContainerID = fmt.Sprint("containerd://", p.ids.Add(1))
		s.LastTerminationState = s.State
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	})
}

// report writes the status of the sidecar.
func (p *pod) report(change func(*corev1.ContainerStatus)) {
	p.Helper()
	if len(p.object.Status.InitContainerStatuses) == 0 {
		p.object.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: sidecarapi.ContainerName}}
		p.object.Status.PodIP, p.object.Status.PodIPs = "127.0.0.1", []corev1.PodIP{{IP: "127.0.0.1"}}
	}
	change(&p.object.Status.InitContainerStatuses[0])
	if err := p.admin.Status().Update(p.Context(), p.object); err != nil {
		p.Fatal(err)
	}
}

// end signals the sidecar and waits for it.
func (p *pod) end(signal syscall.Signal) {
	p.Helper()
	if err := p.process.Process.Signal(signal); err != nil {
		p.Fatal(err)
	}
	_, _ = p.process.Process.Wait()
}

// reportEnd reports the end of the sidecar with its termination message.
func (p *pod) reportEnd() {
	p.Helper()
	message, err := os.ReadFile(p.message)
	if err != nil {
		p.Fatal(err)
	}
	p.report(func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: s.ContainerID, Message: string(message)}}
	})
}

func (p *pod) delete() {
	p.Helper()
	if err := p.admin.Delete(p.Context(), p.object, client.GracePeriodSeconds(0)); err != nil {
		p.Fatal(err)
	}
}

// send sends spans to the sidecar.
func (p *pod) send(spans int) {
	p.Helper()
	var list []string
	for range spans {
		list = append(list, fmt.Sprintf(`{"traceId":"000102030405060708090a0b0c0d0e0f","spanId":"%016x","name":"GET /","startTimeUnixNano":"1800000000000000000","endTimeUnixNano":"1800000000000000001"}`, p.ids.Add(1)))
	}
	body := `{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Join(list, ",") + `]}]}]}`
	response, err := http.Post("http://"+p.otlp+"/v1/traces", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		p.Fatalf("sent spans: %s", response.Status)
	}
	p.accepted += int64(spans)
}

// delivered sends spans and waits until the sidecar knows that they have arrived.
func (p *pod) delivered(spans int) {
	p.Helper()
	p.send(spans)
	p.eventually("delivered", func() bool {
		m, err := newAsker().current(p.Context(), string(p.object.UID), p.status)
		return err == nil && m.Ledger[ledgerapi.Traces].Balance() == 0
	})
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
