package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a first `go run ./cmd/novawire` compiles, and what its archive and the image of
// the manager hold (ADR 0005).
const (
	packageLimit = 490
	programLimit = 25_000_000
	managerLimit = 34_750_000 // with the list of authorities, an image of 35 MB
)

// notLinked are the trees that cost the most to compile. internal/kubernetes is what
// commands use in their place.
var notLinked = []string{
	"sigs.k8s.io/controller-runtime", "k8s.io/client-go/kubernetes", "k8s.io/client-go/applyconfigurations",
	"k8s.io/client-go/informers", "k8s.io/client-go/gentype", "k8s.io/client-go/discovery",
	"github.com/chromedp", // drives the browser of tests
}

func TestPackages(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	t.Logf("%d packages", len(packages))
	if len(packages) > packageLimit {
		t.Errorf("the command line links %d packages, more than %d: see ADR 0005", len(packages), packageLimit)
	}
	for _, p := range packages {
		for _, tree := range notLinked {
			if p == tree || strings.HasPrefix(p, tree+"/") {
				t.Errorf("the command line links %s: use internal/kubernetes (ADR 0005)", p)
			}
		}
	}
}

func TestProgramSizes(t *testing.T) {
	dir := t.TempDir()
	const gcflags, align = "k8s.io/api/...=-l", "-s -w -funcalign=16"
	// The flags of a release, so that `make release` finds the packages compiled.
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-gcflags", gcflags, "-ldflags", align, "-o", dir, ".", "../novawire-manager")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, file := range []string{"../../Dockerfile", "../../tools/release/build.go"} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), `"`+gcflags+`"`) || !strings.Contains(string(text), `"`+align+" ") {
			t.Errorf("%s builds without the flags of this test, %q and %q: %v", file, gcflags, align, err)
		}
	}
	for name, limit := range map[string]int64{"novawire": programLimit, "novawire-manager": managerLimit} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s has %.1f MB", name, float64(info.Size())/1e6)
		if info.Size() > limit {
			t.Errorf("%s has %d bytes, more than %d", name, info.Size(), limit)
		}
	}
}
