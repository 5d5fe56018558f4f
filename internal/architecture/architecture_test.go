// Package architecture tests which package may import which.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/nova/novawire"

// part is a folder of the tree and what its packages may import.
type part struct {
	folder string
	may    []string // folders of the product, beside itself
	not    []string // import paths that are refused, also indirectly, by prefix; "." is every module but this one
}

// Imports point to api. A package that no part covers fails the test. The longest
// folder that matches decides.
var parts = []part{
	{folder: "api", may: []string{"api", "internal/validate"}, not: []string{"."}}, // the standard library alone
	{folder: "cmd", may: []string{"api", "manifests", "smoke", "webhook", "controller", "sidecar", "backup", "fluentbit", "certs", "config", "internal", "cmd"}},
	{folder: "config", may: []string{"api", "webhook/inject", "controller", "internal"}, not: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}},
	{folder: "webhook/inject", may: []string{"api", "internal"}, not: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}},
	{folder: "webhook/diagnosis", may: []string{"api", "internal", "webhook/inject"}, not: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}},
	{folder: "webhook/lint", may: []string{"api", "internal", "webhook/inject"}, not: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}},
	{folder: "webhook/policy", may: []string{"api", "internal", "webhook/inject"}, not: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}},
	{folder: "webhook/preview", may: []string{"api", "internal", "webhook/inject", "webhook/lint"}, not: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}},
	{folder: "controller/backup/resources", may: []string{"api", "internal"}, not: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"}},
	{folder: "webhook", may: []string{"api", "internal"}},
	{folder: "controller", may: []string{"api", "internal"}},
	{folder: "sidecar", may: []string{"api", "internal"}, not: []string{"sigs.k8s.io/controller-runtime"}},
	{folder: "backup", may: []string{"api", "internal"}, not: []string{"k8s.io", "sigs.k8s.io", "go.opentelemetry.io/collector"}},
	{folder: "fluentbit", may: []string{"api", "internal"}, not: []string{"k8s.io", "sigs.k8s.io", "go.opentelemetry.io/collector"}},
	{folder: "certs", not: []string{"."}}, // the standard library alone
	{folder: "certs/rotator", may: []string{"certs", "certs/expiry", "internal"}},
	{folder: "certs/expiry", may: []string{"internal"}, not: []string{"k8s.io", "sigs.k8s.io"}},
	{folder: "smoke", may: []string{"api", "internal"}, not: []string{"k8s.io", "sigs.k8s.io"}},
	{folder: "k8s", may: []string{"internal/testing"}},    // tests alone
	{folder: "charts", may: []string{"internal/testing"}}, // tests alone
	{folder: "manifests", not: []string{"."}},
	{folder: "monitoring", not: []string{"k8s.io", "sigs.k8s.io/controller-runtime"}},
	{folder: "e2e", may: []string{"api", "e2e", "internal"}},
	{folder: "examples", may: []string{"api"}},
	{folder: "internal", may: []string{"api", "internal"}},
	{folder: "internal/validate", not: []string{"."}}, // api imports it
	{folder: "internal/testing", may: []string{"api", "internal", "webhook", "controller", "sidecar", "backup", "fluentbit", "certs"}},
}

// testSupport are the folders that only tests and other test support may import.
// e2e is a test as a whole.
var testSupport = []string{"internal/testing", "backup/store/storetest", "e2e"}

type goPackage struct {
	ImportPath  string
	Imports     []string
	TestImports []string
	Deps        []string
}

func TestImports(t *testing.T) {
	for _, pkg := range listPackages(t) {
		if pkg.ImportPath == module+"/e2e" {
			pkg.Imports = pkg.TestImports // it has test files only
		}
		for _, problem := range check(parts, pkg) {
			t.Error(problem)
		}
	}
}

// TestTable compares the table of ARCHITECTURE.md with the packages of the module.
func TestTable(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, existing []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		listed = append(listed, row[1])
	}
	for _, pkg := range listPackages(t) {
		existing = append(existing, strings.TrimPrefix(pkg.ImportPath, module+"/"))
	}
	slices.Sort(listed)
	slices.Sort(existing)
	if diff := cmp.Diff(existing, listed); diff != "" {
		t.Errorf("packages (-) and table (+) differ:\n%s", diff)
	}
}

// Each case is an import that must be refused.
func TestCheck(t *testing.T) {
	cases := map[string]goPackage{
		"the contract imports a library":           {ImportPath: module + "/api/backup", Deps: []string{"golang.org/x/text/width"}},
		"webhook imports controller":               {ImportPath: module + "/webhook", Imports: []string{module + "/controller/drift"}},
		"the engine imports its adapter":           {ImportPath: module + "/webhook/inject", Imports: []string{module + "/webhook"}},
		"backup reaches Kubernetes":                {ImportPath: module + "/backup/store/s3", Deps: []string{"k8s.io/api/core/v1"}},
		"the pure half of certs imports a library": {ImportPath: module + "/certs", Deps: []string{"github.com/prometheus/client_golang/prometheus"}},
		"the sidecar reaches controller-runtime":   {ImportPath: module + "/sidecar", Deps: []string{"sigs.k8s.io/controller-runtime/pkg/client"}},
		"e2e looks inside":                         {ImportPath: module + "/e2e", Imports: []string{module + "/webhook"}},
		"something imports a program":              {ImportPath: module + "/certs", Imports: []string{module + "/cmd/novawire"}},
		"no part covers the folder":                {ImportPath: module + "/utils"},
		"validate imports a library":               {ImportPath: module + "/internal/validate", Deps: []string{"golang.org/x/text/width"}},
		"production imports test support":          {ImportPath: module + "/backup/dump", Imports: []string{module + "/internal/testing/pgtest"}},
		"a program imports test support":           {ImportPath: module + "/cmd/novawire", Imports: []string{module + "/internal/testing/bench"}},
		"production imports the conformance suite": {ImportPath: module + "/backup/store/s3", Imports: []string{module + "/backup/store/storetest"}},
		"an internal package reaches into a part":  {ImportPath: module + "/internal/x", Imports: []string{module + "/backup"}},
	}
	for name, pkg := range cases {
		if len(check(parts, pkg)) == 0 {
			t.Errorf("%s: nothing was refused", name)
		}
	}
}

func check(parts []part, pkg goPackage) (problems []string) {
	folder := strings.TrimPrefix(strings.TrimPrefix(pkg.ImportPath, module), "/")
	home, ok := find(parts, folder)
	if !ok {
		return []string{folder + ": covered by no part: say in architecture_test.go what it may import"}
	}
	for _, path := range pkg.Imports {
		inside, ok := strings.CutPrefix(path, module)
		if !ok {
			continue
		}
		if !supportsTests(folder) && supportsTests(strings.TrimPrefix(inside, "/")) {
			problems = append(problems, folder+" imports test support: "+path)
		}
		target, _ := find(parts, strings.TrimPrefix(inside, "/"))
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
func find(parts []part, folder string) (part, bool) {
	best, found := part{}, false
	for _, p := range parts {
		if (p.folder == folder || p.folder != "" && within(p.folder, folder)) && (!found || len(p.folder) > len(best.folder)) {
			best, found = p, true
		}
	}
	return best, found
}

// supportsTests reports whether only tests may import the folder's package.
func supportsTests(folder string) bool {
	return slices.ContainsFunc(testSupport, func(support string) bool { return within(support, folder) })
}

// within reports whether path is the folder itself or below it.
func within(folder, path string) bool {
	return path == folder || folder != "" && strings.HasPrefix(path, folder+"/")
}

// external reports whether the package is of another module: neither of this one
// nor of the standard library, whose first path element has no dot.
func external(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && !within(module, path)
}

func listPackages(t *testing.T) (packages []goPackage) {
	t.Helper()
	list := exec.Command("go", "list", "-tags=e2e", "-json=ImportPath,Imports,TestImports,Deps", "./...")
	list.Dir = "../.."
	out, err := list.Output()
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
