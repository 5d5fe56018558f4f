package podfiles_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/podfiles"
)

// node is a node's log files and the directory of pod files.
type node struct {
	t       *testing.T
	dir     *podfiles.Directory
	now     time.Time
	decided map[string]podfiles.Decision // by pod
}

func newNode(t *testing.T) *node {
	t.Helper()
	root := t.TempDir()
	n := &node{t: t, now: time.Now(), decided: map[string]podfiles.Decision{}}
	n.dir = &podfiles.Directory{Path: filepath.Join(root, "pods"), Logs: filepath.Join(root, "logs"), HoldFor: time.Minute, KeepFor: time.Hour}
	if err := os.Mkdir(n.dir.Logs, 0o755); err != nil {
		t.Fatal(err)
	}
	n.restart()
	return n
}

func (n *node) restart() {
	n.t.Helper()
	if err := n.dir.Open(); err != nil {
		n.t.Fatal(err)
	}
}

func file(pod string) string { return pod + "_nova_app-0b6a.log" }

func (n *node) start(pod string) {
	n.t.Helper()
	if err := os.Symlink("/var/log/pods/nova_"+pod+"/app/0.log", filepath.Join(n.dir.Logs, file(pod))); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) end(pod string) {
	n.t.Helper()
	if err := os.Remove(filepath.Join(n.dir.Logs, file(pod))); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) update(after time.Duration) podfiles.Counts {
	n.t.Helper()
	n.now = n.now.Add(after)
	counts, err := n.dir.Update(n.now, func(namespace, pod string) (podfiles.Pod, podfiles.Decision) {
		return podfiles.Pod{Namespace: namespace, Name: pod, Service: "of " + pod}, n.decided[pod]
	})
	if err != nil {
		n.t.Error(err)
	}
	return counts
}

// links lists the pods whose files are tailed.
func (n *node) links() (pods []string) {
	n.t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.dir.Path, "containers"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, entry := range entries {
		pod, _, _ := strings.Cut(entry.Name(), "_")
		pods = append(pods, pod)
	}
	slices.Sort(pods)
	return pods
}

func (n *node) expect(when string, want ...string) {
	n.t.Helper()
	if diff := cmp.Diff(want, n.links()); diff != "" {
		n.t.Errorf("%s, links (-want +got):\n%s", when, diff)
	}
}

func TestDirectory_Update(t *testing.T) {
	n := newNode(t)
	for pod, decision := range map[string]podfiles.Decision{"wired": podfiles.Wired, "other": podfiles.NotWired, "new": podfiles.Unknown} {
		n.decided[pod] = decision
		n.start(pod)
	}
	if err := os.WriteFile(filepath.Join(n.dir.Logs, "noise"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(podfiles.Counts{Wired: 1, Held: 1, NotWired: 1}, n.update(0)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	n.expect("at first", "wired")
	if target, err := os.Readlink(filepath.Join(n.dir.Path, "containers", file("wired"))); err != nil || target != "/var/log/pods/nova_wired/app/0.log" {
		t.Errorf("the link points to %q: %v", target, err)
	}

	n.update(59 * time.Second)
	n.expect("while an unknown pod is held", "wired")
	if c := n.update(time.Second); c.Undecided != 1 {
		t.Errorf("counts are %+v", c)
	}
	n.expect("after it was held", "new", "wired")
	if p, ok := podfiles.Describe(n.dir.Path, "nova", "new"); !ok || !p.Undecided {
		t.Errorf("the undecided pod is described as %+v, %v", p, ok)
	}

	n.decided["new"] = podfiles.Wired
	n.update(time.Second)
	if p, ok := podfiles.Describe(n.dir.Path, "nova", "new"); !ok || p.Undecided || p.Service != "of new" {
		t.Errorf("after the decision it is described as %+v, %v", p, ok)
	}

	n.decided["new"] = podfiles.NotWired
	n.update(time.Second)
	n.expect("after it lost its label", "wired")
}

// While nobody answers, what was decided stands, also over a restart.
func TestDirectory_Update_KeepsLastDecision(t *testing.T) {
	n := newNode(t)
	n.decided["known"], n.decided["other"] = podfiles.Wired, podfiles.NotWired
	n.start("known")
	n.start("other")
	n.update(0)
	clear(n.decided) // the API server is away
	n.restart()
	for range 3 {
		n.update(time.Hour)
		n.expect("without an answer", "known")
	}
	if p, ok := podfiles.Describe(n.dir.Path, "nova", "known"); !ok || p.Undecided || p.Service != "of known" {
		t.Errorf("the known pod is described as %+v, %v", p, ok)
	}
}

// A description outlives its pod: chunks may wait for delivery.
func TestDirectory_Update_KeepsDescriptions(t *testing.T) {
	n := newNode(t)
	n.decided["feed"] = podfiles.Wired
	n.start("feed")
	n.update(0)
	n.update(10 * time.Hour) // in use all the time
	n.end("feed")
	n.update(time.Minute)
	n.expect("after the pod ended")
	described := func() bool {
		_, ok := podfiles.Describe(n.dir.Path, "nova", "feed")
		return ok
	}
	if !described() {
		t.Error("the description went with the pod")
	}
	n.update(2 * time.Hour)
	if described() {
		t.Error("the description is kept for too long")
	}
}

// The kubelet's file may be a file itself, as some runtimes write it.
func TestDirectory_Update_PlainFile(t *testing.T) {
	n := newNode(t)
	path := filepath.Join(n.dir.Logs, file("feed"))
	if err := os.WriteFile(path, []byte("line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.decided["feed"] = podfiles.Wired
	n.update(0)
	if target, err := os.Readlink(filepath.Join(n.dir.Path, "containers", file("feed"))); err != nil || target != path {
		t.Errorf("the link points to %q: %v", target, err)
	}
}

func TestParseName(t *testing.T) {
	for name, want := range map[string][]string{
		"a.b-0_ns_c-d-0b.log": {"a.b-0", "ns", "c-d"},
		"broken.log":          {"", "", ""},
		"__.log":              {"", "", ""},
		"a_b_c_d-0.log":       {"", "", ""},
		"../x_ns_c-0.log":     {"", "", ""},
	} {
		pod, namespace, container, ok := podfiles.ParseName(name)
		if diff := cmp.Diff(want, []string{pod, namespace, container}); diff != "" || ok != (want[0] != "") {
			t.Errorf("%s, ok %v (-want +got):\n%s", name, ok, diff)
		}
	}
}
