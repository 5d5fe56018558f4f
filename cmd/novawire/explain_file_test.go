package main

import (
	"strings"
	"testing"
)

// A file of explain can be standard input, as the help says.
func TestExplain_StandardInput(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: feed}\nspec: {containers: [{name: app, image: feed}]}\n"
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"explain", "-"}, "Pod/feed", 0},
		{[]string{"explain", "--verify", "-"}, "Pod default/feed: no-template", 1},
	} {
		stdout, stderr, code := cli(t, pod, c.args...)
		if code != c.code || !strings.Contains(stdout, c.want) {
			t.Errorf("%q: exit %d\n%s\n%s", c.args, code, stdout, stderr)
		}
	}
}
