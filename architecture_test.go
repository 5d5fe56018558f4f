package novawire

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nova/novawire"

// part is a folder of the house and what its packages may import of the rest:
// packages of the product by their folder ("" is the root package), and other
// modules by prefix. Folders are matched longest first.
type part struct {
	folder string
	may    []string // folders of the product beside itself
	not    []string // prefixes of import paths that are refused, transitively
}

// Arrows point to the contract. Nothing of the house is missing here: a package
// that matches no part fails the test.
var house = []part{
	{folder: "", not: []string{"."}}, // the standard library alone
	{folder: "cmd", may: []string{"", "webhook", "controller", "sidecar", "backup", "fluentbit", "certs", "internal", "cmd"}},
	{folder: "webhook/inject", may: []string{""}, not: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}},
	{folder: "webhook", may: []string{"", "internal"}},
	{folder: "controller", may: []string{"", "internal"}},
	{folder: "sidecar", may: []string{"", "internal"}, not: []string{"sigs.k8s.io/controller-runtime"}},
	{folder: "backup", may: []string{"", "internal"}, not: []string{"k8s.io", "sigs.k8s.io", "go.opentelemetry.io/collector"}},
	{folder: "fluentbit", may: []string{"", "internal"}, not: []string{"k8s.io", "sigs.k8s.io", "go.opentelemetry.io/collector"}},
	{folder: "certs", not: []string{"."}}, // the standard library alone
	{folder: "certs/rotator", may: []string{"certs", "certs/expiry", "internal"}},
	{folder: "certs/expiry", may: []string{"internal"}, not: []string{"k8s.io", "sigs.k8s.io"}},
	{folder: "e2e", may: []string{"", "e2e", "internal"}},
	{folder: "examples", may: []string{""}},
	{folder: "internal", may: []string{"", "internal"}, not: nil},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestArrowsPointToTheContract(t *testing.T) {
	for _, pkg := range listPackages(t) {
		for _, problem := range check(house, pkg) {
			t.Error(problem)
		}
	}
}

// The rule is worth what it refuses.
func TestForbiddenArrowsAreSeen(t *testing.T) {
	cases := map[string]goPackage{
		"the root imports a library":               {ImportPath: module, Deps: []string{"golang.org/x/text/width"}},
		"webhook imports controller":               {ImportPath: module + "/webhook", Imports: []string{module + "/controller/drift"}},
		"the engine imports its adapter":           {ImportPath: module + "/webhook/inject", Imports: []string{module + "/webhook"}},
		"backup reaches Kubernetes":                {ImportPath: module + "/backup/s3", Deps: []string{"k8s.io/api/core/v1"}},
		"the pure half of certs imports a library": {ImportPath: module + "/certs", Deps: []string{"github.com/prometheus/client_golang/prometheus"}},
		"the sidecar reaches controller-runtime":   {ImportPath: module + "/sidecar", Deps: []string{"sigs.k8s.io/controller-runtime/pkg/client"}},
		"e2e looks inside":                         {ImportPath: module + "/e2e", Imports: []string{module + "/webhook"}},
		"something imports a program":              {ImportPath: module + "/certs", Imports: []string{module + "/cmd/novawire"}},
		"a folder is not part of the house":        {ImportPath: module + "/utils"},
		"an internal package reaches into a part":  {ImportPath: module + "/internal/x", Imports: []string{module + "/backup"}},
	}
	for name, pkg := range cases {
		if len(check(house, pkg)) == 0 {
			t.Errorf("%s: nothing was refused", name)
		}
	}
}

func check(house []part, pkg goPackage) (problems []string) {
	folder := strings.TrimPrefix(strings.TrimPrefix(pkg.ImportPath, module), "/")
	home, ok := find(house, folder)
	if !ok {
		return []string{folder + ": no part of the house: say in architecture_test.go what it may import"}
	}
	for _, path := range pkg.Imports {
		inside, ok := strings.CutPrefix(path, module)
		if !ok {
			continue
		}
		target, _ := find(house, strings.TrimPrefix(inside, "/"))
		reachable := func(may string) bool { return within(may, target.folder) }
		if target.folder != home.folder && !slices.ContainsFunc(home.may, reachable) &&
			!within(home.folder, target.folder) {
			problems = append(problems, folder+" imports "+path)
		}
	}
	for _, path := range pkg.Deps {
		for _, prefix := range home.not {
			if prefix == "." && external(path) || within(prefix, path) {
				problems = append(problems, folder+" reaches "+path)
			}
		}
	}
	return problems
}

// find returns the part with the longest folder that holds the package.
func find(house []part, folder string) (part, bool) {
	best, found := part{}, false
	for _, p := range house {
		if (p.folder == folder || p.folder != "" && within(p.folder, folder)) && (!found || len(p.folder) > len(best.folder)) {
			best, found = p, true
		}
	}
	return best, found
}

// within tells whether path is the folder itself or below it.
func within(folder, path string) bool {
	return path == folder || folder != "" && strings.HasPrefix(path, folder+"/")
}

// external tells a module's package from the standard library's, whose first
// element has no dot.
func external(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

func listPackages(t *testing.T) (packages []goPackage) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg goPackage
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		packages = append(packages, pkg)
	}
}
