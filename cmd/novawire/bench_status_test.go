package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/cmd/novawire/dashboard"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/testing/bench"
	"github.com/nova/novawire/internal/testing/cluster"
)

const statusPods, statusNamespaces = 5000, 10

// BenchmarkStatus is the time of `status`, and of the dashboard until it has the page and
// its data, with 5,000 wired pods on a real API server. The baseline lists the same pods with the dynamic client and decodes each, as other commands do.
func BenchmarkStatus(b *testing.B) {
	const name = "status/5000-pods"
	bench.Skip(b, name)
	config := cluster.Config(b)
	config.QPS = -1
	file := filepath.Join(b.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, cluster.Kubeconfig(b, config), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		b.Fatal(err)
	}
	createWiredPods(b, c)
	direct, err := kubernetes.New(config)
	if err != nil {
		b.Fatal(err)
	}
	ours := func() {
		var out bytes.Buffer
		if err := run(b.Context(), []string{"status", "--kubeconfig", file}, nil, &out, &out); err != nil || strings.Count(out.String(), " 500 ") < statusNamespaces {
			b.Fatalf("%v\n%s", err, &out)
		}
	}
	peer := func() {
		n := 0
		err := kubernetes.Pods.Pages(b.Context(), direct, "", metav1.ListOptions{}, func(page []corev1.Pod) error {
			n += len(page)
			return nil
		})
		if err != nil || n < statusPods {
			b.Fatal(n, err)
		}
	}
	source, err := newDashboardSource(dashboardFlags{cluster: clusterFlags{kubeconfig: file}, system: defaultNamespace}, direct, "novawire")
	if err != nil {
		b.Fatal(err)
	}
	page := dashboard.Handler(source)
	shown := func() {
		for _, path := range []string{"/", "/api/status"} {
			w := httptest.NewRecorder()
			page.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://localhost"+path, nil))
			if w.Code != http.StatusOK || path != "/" && strings.Count(w.Body.String(), `{"wired":500}`) < statusNamespaces {
				b.Fatal(w.Code, w.Body)
			}
		}
	}
	var our, theirs, pages []time.Duration
	for range bench.Rounds {
		our, theirs, pages = append(our, elapsed(ours)), append(theirs, elapsed(peer)), append(pages, elapsed(shown))
	}
	p := middle(theirs)
	for name, o := range map[string]time.Duration{name: middle(our), name + "-dashboard": middle(pages)} {
		bench.Line(name, o.Round(time.Millisecond).String(), p.Round(time.Millisecond).String(), float64(p)/float64(o))
	}
}

func middle(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func elapsed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// createWiredPods creates pods as the webhook leaves them: preview runs the same engine.
func createWiredPods(b *testing.B, c client.Client) {
	b.Helper()
	var wired bytes.Buffer
	manifest := `apiVersion: v1
kind: Pod
metadata: {name: feed, labels: {app: feed}}
spec:
  containers:
  - {name: feed, image: "ghcr.io/nova/feed:1", ports: [{name: metrics, containerPort: 9090}], env: [{name: A, value: b}]}
`
	if err := run(b.Context(), []string{"preview", "-o", "json", "-"}, strings.NewReader(manifest), &wired, &bytes.Buffer{}); err != nil {
		b.Fatal(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(wired.Bytes(), &pod); err != nil || pod.Annotations[injection.AnnotationStatus] == "" {
		b.Fatalf("%v\n%s", err, &wired)
	}
	group, ctx := errgroup.WithContext(context.WithoutCancel(b.Context()))
	group.SetLimit(16)
	for i := range statusPods {
		namespace := fmt.Sprintf("status-%d", i%statusNamespaces)
		if i < statusNamespaces {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled}}}
			if err := c.Create(ctx, ns); err != nil {
				b.Fatal(err)
			}
		}
		group.Go(func() error {
			p := pod.DeepCopy()
			p.Namespace, p.Name = namespace, fmt.Sprintf("feed-%d", i)
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: fmt.Sprintf("feed-%d", i/50), UID: "1", Controller: new(true)}}
			return c.Create(ctx, p)
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}
