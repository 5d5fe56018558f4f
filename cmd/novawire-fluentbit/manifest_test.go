//go:build cgo

package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/fluentbit"
)

type section map[string]any

type configuration struct {
	Service  section
	Plugins  []string
	Parsers  []section
	Pipeline struct{ Inputs, Filters, Outputs []section }
}

func shippedConfiguration(t *testing.T) (c configuration) {
	t.Helper()
	text, err := os.ReadFile("../../manifests/base/logging/fluent-bit.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfiguration_Output(t *testing.T) {
	c := shippedConfiguration(t)
	o := c.Pipeline.Outputs[0]
	environment := map[string]string{"${AWS_REGION}": "eu-west-1", "${NODE_NAME}": "node-a"}
	_, err := fluentbit.ParseConfig(func(key string) string {
		if o[key] == nil {
			return ""
		}
		value := fmt.Sprint(o[key])
		if replaced, ok := environment[value]; ok {
			return replaced
		}
		return value
	})
	if err != nil {
		t.Error(err)
	}
	if o["name"] != "novawire" || o["workers"].(int) < 1 || o["retry_limit"] != "no_limits" {
		t.Errorf("the output is %v", o)
	}
	if stack, _ := strconv.Atoi(fmt.Sprint(c.Service["coro_stack_size"])); stack < 128<<10 {
		t.Errorf("coro_stack_size is %d", stack)
	}
	if i := c.Pipeline.Inputs[0]; i["storage.type"] != "filesystem" || i["multiline.parser"] != "cri" {
		t.Errorf("the input is %v", i)
	}
}

// The filters use the keys of the contract.
func TestConfiguration_TailsWiredPods(t *testing.T) {
	var rules []string
	for _, f := range shippedConfiguration(t).Pipeline.Filters {
		if f["name"] == "grep" {
			rules = append(rules, fmt.Sprint(f["regex"]))
		}
	}
	want := []string{
		fmt.Sprintf("$kubernetes['labels']['%s'] ^%s$", injection.LabelLogging, injection.LoggingStructured),
		fmt.Sprintf("$kubernetes_namespace['labels']['%s'] ^%s$", injection.LabelWiring, injection.WiringEnabled),
	}
	if strings.Join(rules, "\n") != strings.Join(want, "\n") {
		t.Errorf("rules are %q, want %q", rules, want)
	}
}

func TestConfiguration_Parsers(t *testing.T) {
	lines := map[string]string{
		"postgresql": `2026-11-23 12:00:00.123 UTC [42] nova@nova_auth ERROR:  relation "x" does not exist`,
		"redis":      `1:M 23 Nov 2026 12:00:00.123 * Ready to accept connections`,
		"nginx":      `10.0.0.1 - - [23/Nov/2026:12:00:00 +0000] "GET /v1/users HTTP/1.1" 502 157 "-" "curl/8"`,
	}
	c := shippedConfiguration(t)
	for _, p := range c.Parsers {
		name := fmt.Sprint(p["name"])
		r, err := regexp.Compile(fmt.Sprint(p["regex"]))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !r.MatchString(lines[name]) {
			t.Errorf("%s does not read %s", name, lines[name])
		}
	}
	for _, f := range c.Pipeline.Filters {
		if f["name"] != "parser" {
			continue
		}
		container := fmt.Sprint(f["parser"])
		tag := "kube.var.log.containers.db-0_nova_" + container + "-" + strings.Repeat("0a", 32) + ".log"
		if !regexp.MustCompile(fmt.Sprint(f["match_regex"])).MatchString(tag) || lines[container] == "" {
			t.Errorf("%v is not for a container of that name", f)
		}
	}
}
