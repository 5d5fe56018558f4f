package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/fluentbit/podfiles"
)

// apiServer answers lists, gets and watches of pods and namespaces, without changes.
type apiServer struct {
	pods       []corev1.Pod
	namespaces []corev1.Namespace
	away       atomic.Bool
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.away.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	watching := r.URL.Query().Get("watch") != ""
	switch path := r.URL.Path; {
	case watching && r.URL.Query().Get("sendInitialEvents") == "true":
		w.WriteHeader(http.StatusBadRequest) // as an API server without streaming lists
	case watching:
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case path == "/api/v1/pods":
		reply(w, corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: s.pods[:1]})
	case path == "/api/v1/namespaces":
		reply(w, corev1.NamespaceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: s.namespaces})
	default:
		for _, p := range s.pods {
			if strings.HasSuffix(path, "/namespaces/"+p.Namespace+"/pods/"+p.Name) {
				p.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
				reply(w, p)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
		reply(w, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
	}
}

func reply(w http.ResponseWriter, object any) { _ = json.NewEncoder(w).Encode(object) }

func wired(namespace, name string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{injection.LabelLogging: injection.LoggingStructured}},
		Spec:       corev1.PodSpec{NodeName: "node-a", Containers: []corev1.Container{{Name: "app"}}},
	}
}

func startCluster(t *testing.T, s *apiServer) *cluster {
	t.Helper()
	server := httptest.NewServer(s)
	c, err := newCluster(&rest.Config{Host: server.URL}, "node-a", []string{"kube-system"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.watch(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		server.CloseClientConnections()
		server.Close()
	})
	return c
}

// waitSynced takes changes until both resources are listed, which is a change too.
func waitSynced(t *testing.T, c *cluster) {
	t.Helper()
	for deadline := time.After(time.Minute); !c.synced(); {
		select {
		case <-c.changed:
		case <-deadline:
			t.Fatal("the pods were not listed")
		}
	}
}

func TestCluster_Decide(t *testing.T) {
	other := wired("nova", "unlabelled")
	other.Labels = nil
	s := &apiServer{
		pods: []corev1.Pod{wired("nova", "known"), wired("nova", "newer-than-the-watch"), wired("plain", "in-another-namespace"), other},
		namespaces: []corev1.Namespace{
			{ObjectMeta: metav1.ObjectMeta{Name: "nova", Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled}}},
			{ObjectMeta: metav1.ObjectMeta{Name: "plain"}},
		},
	}
	s.away.Store(true)
	c := startCluster(t, s)
	if _, decision := c.decide(t.Context(), "nova", "known"); decision != podfiles.Unknown {
		t.Errorf("before the API server answers, the decision is %v", decision)
	}
	if _, decision := c.decide(t.Context(), "kube-system", "any"); decision != podfiles.NotWired {
		t.Errorf("for an excluded namespace, the decision is %v", decision)
	}
	s.away.Store(false)
	waitSynced(t, c)
	for pod, want := range map[string]podfiles.Decision{
		"nova/known":                 podfiles.Wired,
		"nova/newer-than-the-watch":  podfiles.Wired,
		"nova/unlabelled":            podfiles.NotWired,
		"nova/gone":                  podfiles.NotWired,
		"plain/in-another-namespace": podfiles.NotWired,
		"new-namespace/any":          podfiles.Unknown,
		"kube-system/any":            podfiles.NotWired,
	} {
		namespace, name, _ := strings.Cut(pod, "/")
		if p, decision := c.decide(t.Context(), namespace, name); decision != want || decision == podfiles.Wired && p.Service != name {
			t.Errorf("%s: decision %v, want %v, pod %+v", pod, decision, want, p)
		}
	}
	s.away.Store(true)
	if _, decision := c.decide(t.Context(), "nova", "known"); decision != podfiles.Wired {
		t.Errorf("during an outage, the decision about a known pod is %v", decision)
	}
	if _, decision := c.decide(t.Context(), "nova", "unknown"); decision != podfiles.Unknown {
		t.Errorf("during an outage, the decision about an unknown pod is %v", decision)
	}
	if c.errors.Load() == 0 {
		t.Error("no failed request was counted")
	}
}

func TestAgent_Update(t *testing.T) {
	s := &apiServer{
		pods:       []corev1.Pod{wired("nova", "feed-0")},
		namespaces: []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "nova", Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled}}}},
	}
	root := t.TempDir()
	logs := filepath.Join(root, "logs")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(logs, "feed-0_nova_app-0b.log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &agent{cluster: startCluster(t, s), options: options{interval: time.Hour, directory: podfiles.Directory{Path: filepath.Join(root, "pods"), Logs: logs, HoldFor: time.Hour, KeepFor: time.Hour}}}
	if err := a.options.directory.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var running sync.WaitGroup
	waitSynced(t, a.cluster)
	running.Go(func() { a.update(ctx) })
	for range 3 { // between two changes that are received, there is a whole update
		select {
		case a.cluster.changed <- struct{}{}:
		case <-ctx.Done():
			t.Error("a change does not cause an update")
		}
	}
	link := filepath.Join(root, "pods", "containers", "feed-0_nova_app-0b.log")
	var metrics strings.Builder
	a.writeMetrics(&metrics)
	cancel()
	running.Wait()
	if _, err := os.Lstat(link); err != nil {
		t.Fatal(err)
	}
	if want := "novawire_logs_pods_synced 1"; !strings.Contains(metrics.String(), want) {
		t.Errorf("metrics lack %s:\n%s", want, metrics.String())
	}
}

func TestParseFlags(t *testing.T) {
	t.Setenv("NODE_NAME", "")
	if _, err := parseFlags(nil, &strings.Builder{}); err == nil {
		t.Error("an agent without a node starts")
	}
	o, err := parseFlags([]string{"--node=a", "--service-name-labels=app,name"}, &strings.Builder{})
	if err != nil || len(o.nameLabels) != 2 || len(o.excluded) == 0 {
		t.Errorf("options %+v, error %v", o, err)
	}
}
