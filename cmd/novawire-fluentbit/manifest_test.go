//go:build cgo

package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/configfile"
)

const configurationFile = "../../manifests/base/logging/fluent-bit.yaml"

func shippedConfiguration(t *testing.T) configfile.Configuration {
	t.Helper()
	text, err := os.ReadFile(configurationFile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := configfile.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// number returns the value of a key, which may have a unit of bytes.
func number(t *testing.T, s configfile.Section, key string) int {
	t.Helper()
	text := s.Text(key)
	unit := map[string]int{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[text[max(0, len(text)-1):]]
	n, err := strconv.Atoi(strings.TrimRight(text, "KMG"))
	if err != nil {
		t.Fatalf("%s is %q", key, text)
	}
	return n * max(unit, 1)
}

func TestConfiguration_Check(t *testing.T) {
	text, err := os.ReadFile(configurationFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := configfile.Check(text, func(string) string { return "" }); err != nil {
		t.Error(err)
	}
	c := shippedConfiguration(t)
	if stack := number(t, c.Service, "coro_stack_size"); stack < 128<<10 {
		t.Errorf("coro_stack_size is %d", stack)
	}
}

// Only the links that the agent keeps are tailed, and no filter can drop a line.
func TestConfiguration_TailsWiredPods(t *testing.T) {
	c := shippedConfiguration(t)
	files := c.Pipeline.Outputs[0].Text("pod_files")
	if path := c.Pipeline.Inputs[0].Text("path"); files == "" || path != files+"/containers/*.log" {
		t.Errorf("the input tails %s, the agent keeps %s", path, files)
	}
	for _, f := range c.Pipeline.Filters {
		if name := f.Text("name"); name == "grep" || name == "kubernetes" {
			t.Errorf("the filter %s decides about lines, or waits for the API server", name)
		}
	}
}

// What an outage costs follows from the configuration.
func TestConfiguration_Outage(t *testing.T) {
	c := shippedConfiguration(t)
	input, output := c.Pipeline.Inputs[0], c.Pipeline.Outputs[0]

	t.Run("the input never pauses", func(t *testing.T) {
		if input.Text("storage.type") != "filesystem" || input.Text("storage.pause_on_chunks_overlimit") != "off" || input.Text("mem_buf_limit") != "" {
			t.Errorf("the input is %v", input)
		}
	})
	t.Run("the disk lasts for an hour of a busy node", func(t *testing.T) {
		const lines, bytes = 2000, 250 // a second; of a line in a chunk
		disk := number(t, output, "storage.total_limit_size")
		if lasts := time.Duration(disk/(lines*bytes)) * time.Second; lasts < time.Hour {
			t.Errorf("%d bytes last for %s", disk, lasts)
		}
	})
	t.Run("retries are at most a minute apart", func(t *testing.T) {
		if n := number(t, c.Service, "scheduler.cap"); n > 60 {
			t.Errorf("scheduler.cap is %d", n)
		}
	})
	t.Run("the process ends within the grace period", func(t *testing.T) {
		config, err := fluentbit.ParseConfig(func(key string) string { return strings.ReplaceAll(output.Text(key), "${AWS_REGION}", "eu-west-1") })
		if err != nil {
			t.Fatal(err)
		}
		grace := time.Duration(number(t, c.Service, "grace")) * time.Second
		drained := config.ShutdownTimeout + fluentbit.CloseTimeout
		if drained >= grace {
			t.Errorf("the plugin drains for %s, Fluent Bit waits %s for it", drained, grace)
		}
		end := grace + 2*fluentbit.CloseTimeout
		if allowed := terminationGracePeriod(t); end+10*time.Second > allowed {
			t.Errorf("the end takes up to %s of %s", end, allowed)
		}
	})
}

func terminationGracePeriod(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("../../manifests/base/logging/fluent-bit-daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Spec struct {
			Template struct {
				Spec struct {
					Seconds int `yaml:"terminationGracePeriodSeconds"`
				} `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return time.Duration(d.Spec.Template.Spec.Seconds) * time.Second
}

// The parsers read every line that real programs wrote: PostgreSQL 15.18, Redis 7.0.15
// and nginx 1.22.1, in testdata. A line that begins with a tab continues another.
func TestConfiguration_Parsers(t *testing.T) {
	c := shippedConfiguration(t)
	for container, parsers := range parsersByContainer(t, c) {
		t.Run(container, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + container + ".log")
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if line = strings.TrimSuffix(line, "\n"); line[0] == '\t' {
					continue
				}
				fields := parseLine(parsers, line)
				if fields["timestamp"] == "" || fields["severity"] == "" && fields["status"] == "" || fields["text"] == "" && fields["remote"] == "" {
					t.Errorf("%q is read as %q", line, fields)
				}
			}
		})
	}
}

// parsersByContainer returns the parsers that the filters use for a container name.
func parsersByContainer(t *testing.T, c configfile.Configuration) map[string][]*regexp.Regexp {
	t.Helper()
	all := map[string][]*regexp.Regexp{}
	for _, container := range []string{"postgresql", "redis", "nginx"} {
		tag := "kube.var.lib.novawire-fluent-bit.pods.containers.db-0_nova_" + container + "-" + strings.Repeat("0a", 32) + ".log"
		for _, f := range c.Pipeline.Filters {
			if !regexp.MustCompile(f.Text("match_regex")).MatchString(tag) {
				continue
			}
			for _, p := range c.Parsers {
				if p.Text("name") == f.Text("parser") {
					all[container] = append(all[container], regexp.MustCompile(p.Text("regex")))
				}
			}
		}
	}
	if len(all) != 3 {
		t.Errorf("parsers are %v", all)
	}
	return all
}

func parseLine(parsers []*regexp.Regexp, line string) map[string]string {
	fields := map[string]string{}
	for _, p := range parsers {
		m := p.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for i, name := range p.SubexpNames() {
			fields[name] = m[i]
		}
	}
	return fields
}
