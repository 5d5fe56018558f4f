package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/controller/drift"
	"github.com/nova/novawire/webhook/inject"
)

// The cache of the drift controller holds parts of pods. Their state is that of the whole pod.
func TestDriftEngine_PartsOfPods(t *testing.T) {
	files, err := filepath.Glob("../../webhook/inject/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	compared := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config, annotations := inject.DefaultConfig(), map[string]string{}
			config.ClusterName, config.DeploymentEnvironment = "nova-prod", "production"
			sections := map[string][]byte{}
			for _, f := range archive.Files {
				sections[f.Name] = f.Data
			}
			if err := yaml.Unmarshal(sections["config.yaml"], &config); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(sections["namespace.yaml"], &annotations); err != nil {
				t.Fatal(err)
			}
			engine, err := inject.New(config)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"pod.yaml", "wired.yaml"} {
				raw, err := yaml.YAMLToJSON(sections[name])
				if err != nil {
					t.Fatal(err)
				}
				var pod corev1.Pod
				if err := json.Unmarshal(raw, &pod); err != nil {
					t.Skip("a pod that no API server returns: ", err)
				}
				compared++
				pod.Namespace = "nova"
				whole, err := engine.State(raw, inject.Namespace{Name: "nova", Annotations: annotations})
				if err != nil {
					t.Fatal(err)
				}
				part, err := driftEngine{engine}.State(drift.Trim(&pod), annotations)
				if err != nil {
					t.Fatal(err)
				}
				if part.PodState != whole.PodState || part.Message != whole.String() {
					t.Errorf("%s: the whole pod is %v, its parts are %v", name, whole, part)
				}
			}
		})
	}
	if compared < len(files) { // of two pods in each file, few are no pods of an API server
		t.Errorf("only %d pods of %d files were compared", compared, len(files))
	}
}

// findsDrift has the webhook away while pods are created. When the program is back, it
// reports each of them within ten seconds.
func findsDrift(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	create := func(pod *corev1.Pod) {
		if err := m.client.Create(t.Context(), pod); err != nil {
			t.Error(err)
		}
	}
	m.start()
	create(owned(podIn(ns), "apps/v1", "StatefulSet", "before"))
	if err := m.stop(); err != nil {
		t.Fatalf("ended with %v:\n%s", err, m.log)
	}
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() { create(owned(podIn(ns), "apps/v1", "StatefulSet", fmt.Sprintf("feed-%d", i%10))) })
	}
	group.Wait()
	alone := podIn(ns)
	alone.Spec.HostNetwork = true
	create(alone)
	m.write("config.yaml", []byte(strings.Replace(startConfig, "clusterName: test", "clusterName: changed, namespaces: {"+ns+": {gateway: {}}}", 1)))
	t.Cleanup(func() { m.write("config.yaml", []byte(startConfig)) })
	m.start()
	series := func(state string) float64 {
		return m.metric(`novawire_pods{namespace="` + ns + `",state="` + state + `"}`)
	}
	back := time.Now()
	m.eventually("all reported", func() bool { return series("missing") == 50 && series("stale") == 1 && series("skipped") == 1 })
	if took := time.Since(back); took > 10*time.Second {
		t.Errorf("reported after %s", took.Round(time.Second))
	}
	want := map[string]string{"HostNetwork Pod/" + alone.Name: "", "OlderConfiguration StatefulSet/before": "rollout restart statefulset/before"}
	for i := range 10 {
		want[fmt.Sprintf("NotReviewed StatefulSet/feed-%d", i)] = "and 4 more"
	}
	m.eventually("recorded as Events", func() bool {
		var events eventsv1.EventList
		if err := m.client.List(t.Context(), &events, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, e := range events.Items {
			if text, ok := want[e.Reason+" "+e.Regarding.Kind+"/"+e.Regarding.Name]; ok && strings.Contains(e.Note, text) {
				found++
			}
		}
		return found == len(want)
	})
	var read corev1.Namespace
	m.eventually("written to the namespace", func() bool {
		if err := m.client.Get(t.Context(), client.ObjectKey{Name: ns}, &read); err != nil {
			t.Fatal(err)
		}
		status, ok := injection.ReadNamespaceStatus(read.Annotations)
		return ok && status.Missing == 50 && status.Stale == 1
	})
	if err := m.stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
