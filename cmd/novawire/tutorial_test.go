package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/cluster"
)

// A real API server accepts the manifests of the tutorial.
func TestTutorial_Manifests(t *testing.T) {
	c, err := client.New(cluster.Config(t), client.Options{})
	must(t, err)
	files, err := filepath.Glob("../../examples/tutorial/*.yaml")
	must(t, err)
	for _, file := range append([]string{"../../examples/nova.yaml"}, files...) {
		text, err := os.ReadFile(file)
		must(t, err)
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var o unstructured.Unstructured
			must(t, yaml.UnmarshalStrict([]byte(document), &o.Object))
			if err := c.Create(t.Context(), &o); err != nil {
				t.Errorf("%s: %s %s: %v", file, o.GetKind(), o.GetName(), err)
			}
		}
	}
}

// Every command line of novawire in a page's shell blocks names a command and flags that
// exist, and the right arguments.
func TestDocs_CommandLines(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	must(t, err)
	lines := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		must(t, err)
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1]) {
				command, _, _ := strings.Cut(strings.TrimSpace(line), " #")
				command, _, _ = strings.Cut(command, " | ")
				words, ok := strings.CutPrefix(strings.TrimSpace(command), "novawire ")
				if !ok {
					continue
				}
				lines++
				if err := checkCommandLine(strings.Fields(words)); err != nil {
					t.Errorf("%s: novawire %s: %v", filepath.Base(page), words, err)
				}
			}
		}
	}
	if lines < 15 {
		t.Errorf("%d command lines were found", lines)
	}
}

func checkCommandLine(words []string) error {
	cmd, args, err := rootCommand("novawire").Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(args); err != nil {
		return err
	}
	if cmd.Args == nil {
		return cobra.ArbitraryArgs(cmd, cmd.Flags().Args())
	}
	return cmd.Args(cmd, cmd.Flags().Args())
}
