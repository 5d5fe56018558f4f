package api_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/api"
	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
)

var update = flag.Bool("update", false, "rewrite the tables in docs/annotations.md")

// The tables of docs/annotations.md are made of Keys; go test ./api -update writes them.
func TestKeys_Documentation(t *testing.T) {
	const file = "../docs/annotations.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for _, object := range []api.Object{api.OnNamespace, api.OnPod, api.OnService, api.OnStatefulSet, api.OnWorkload} {
		table := regexp.MustCompile(`(?s)(<!-- keys ` + string(object) + ` -->\n).*?(<!-- end -->)`)
		if !table.MatchString(want) {
			t.Fatalf("%s has no table for %s", file, object)
		}
		want = table.ReplaceAllStringFunc(want, func(string) string {
			return "<!-- keys " + string(object) + " -->\n" + keyTable(object) + "<!-- end -->"
		})
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s is not what Keys says (go test ./api -update):\n%s", file, diff)
	}
}

func keyTable(object api.Object) string {
	var b strings.Builder
	b.WriteString("| key | default | values | meaning |\n|---|---|---|---|\n")
	for _, k := range allKeys() {
		if k.On != object {
			continue
		}
		name := "`" + k.Name + "`"
		if k.Label {
			name = "label " + name
		}
		b.WriteString("| " + strings.Join([]string{name, k.Default, k.Allowed, k.Meaning}, " | ") + " |\n")
	}
	return b.String()
}

func allKeys() []api.Key { return append(injection.Keys(), backupapi.Keys()...) }
