package examples

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestImages checks that every image of the examples that the tutorial applies is built by
// the Dockerfile or by e2e/cluster/images, directly or instead of a published one. An image
// with a number is instead of that major version.
func TestImages(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var kustomization struct {
		Resources []string
		Images    []struct{ Name, NewName, NewTag string }
	}
	if err := yaml.Unmarshal([]byte(read("kustomization.yaml")), &kustomization); err != nil {
		t.Fatal(err)
	}
	instead := map[string]string{}
	for _, image := range kustomization.Images {
		instead[image.Name] = image.NewName + ":" + image.NewTag
	}
	targets, script := read("../Dockerfile"), read("../e2e/cluster/images")
	used := map[string]bool{}
	for _, file := range kustomization.Resources {
		for _, match := range regexp.MustCompile(`(?m)^ +(?:- )?image: (\S+)`).FindAllStringSubmatch(read(filepath.FromSlash(file)), -1) {
			used[match[1]] = true
		}
	}
	if len(used) < 5 {
		t.Errorf("the examples use %d images", len(used))
	}
	for _, image := range slices.Sorted(maps.Keys(used)) {
		name, tag, _ := strings.Cut(image, ":")
		other := instead[name]
		if other != "" {
			image = other
		}
		target, ours := strings.CutPrefix(strings.TrimSuffix(image, ":dev"), "ghcr.io/nova/")
		companion := regexp.MustCompile(`^e2e-(.*?)(\d*)$`).FindStringSubmatch(target)
		switch {
		case !ours || !strings.HasSuffix(image, ":dev"):
			t.Errorf("%s is an image that `make images` does not tag", image)
		case companion == nil && !strings.Contains(targets, " AS "+target+"\n"):
			t.Errorf("the Dockerfile has no target %s", target)
		case companion == nil:
		case !regexp.MustCompile(`(?m)^\t(program )?` + strings.TrimSpace(companion[1]+" "+companion[2]) + `( |$)`).MatchString(script):
			t.Errorf("e2e/cluster/images does not build %s", image)
		case other != "" && companion[2] != "" && companion[2] != strings.Split(tag, ".")[0]:
			t.Errorf("%s is used instead of %s:%s", image, name, tag)
		}
	}
}
