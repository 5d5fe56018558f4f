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
	if formats := c.Pipeline.Inputs[0].Text("multiline.parser"); formats != "docker, cri" {
		t.Errorf("the formats that are read are %q: Docker's json-file and that of CRI are wanted", formats)
	}
	for _, f := range c.Pipeline.Filters {
		if name := f.Text("name"); name == "grep" || name == "kubernetes" {
			t.Errorf("the filter %s decides about lines, or waits for the API server", name)
		}
	}
}

// load is what the wired pods of a node write. A line has so many bytes in a chunk.
type load struct{ pods, lines, bytes int }

// A node of the outage that was measured in a real Fluent Bit, and a busy one.
var (
	measuredNode = load{pods: 8, lines: 100, bytes: 250}
	busyNode     = load{pods: 20, lines: 100, bytes: 250}
)

func (l load) rate() int { return l.pods * l.lines * l.bytes } // bytes a second

// diskPerHour returns how many bytes an hour without a delivery needs.
func (l load) diskPerHour() int { return l.rate() * 3600 }

// untilPause returns how long an input goes on while nothing is delivered, and false if
// nothing but the disk ends it. A chunk holds lines of one file and of one flush.
func untilPause(t *testing.T, service, input configfile.Section, l load) (time.Duration, bool) {
	t.Helper()
	switch {
	case input.Text("storage.type") != "filesystem" && input.Text("mem_buf_limit") == "":
		return 0, false // memory grows without end: the kernel stops it
	case input.Text("storage.type") != "filesystem":
		return time.Duration(number(t, input, "mem_buf_limit")/l.rate()) * time.Second, true
	case input.Text("storage.pause_on_chunks_overlimit") == "on":
		return time.Duration(number(t, service, "storage.max_chunks_up")/l.pods*number(t, service, "flush")) * time.Second, true
	}
	return 0, false
}

// untilEnd returns how long the process takes from SIGTERM on: Fluent Bit waits for its
// grace, and the plugin closes while its chunks stay on disk.
func untilEnd(t *testing.T, service, output configfile.Section) (plugin, process time.Duration) {
	t.Helper()
	config, err := fluentbit.ParseConfig(func(key string) string { return strings.ReplaceAll(output.Text(key), "${AWS_REGION}", "eu-west-1") })
	if err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(number(t, service, "grace")) * time.Second
	return config.ShutdownTimeout + fluentbit.CloseTimeout, grace + 2*fluentbit.CloseTimeout
}

func TestUntilPause(t *testing.T) {
	service := configfile.Section{"flush": 1, "storage.max_chunks_up": 32}
	for name, c := range map[string]struct {
		input configfile.Section
		want  time.Duration
		pause bool
	}{
		"chunks on disk, with a pause":        {configfile.Section{"storage.type": "filesystem", "storage.pause_on_chunks_overlimit": "on"}, 4 * time.Second, true},
		"chunks on disk, without a pause":     {configfile.Section{"storage.type": "filesystem", "storage.pause_on_chunks_overlimit": "off"}, 0, false},
		"chunks in memory, with a limit":      {configfile.Section{"mem_buf_limit": "2M"}, 10 * time.Second, true},
		"chunks in memory, without a limit":   {configfile.Section{}, 0, false},
		"chunks on disk, with memory's limit": {configfile.Section{"storage.type": "filesystem", "mem_buf_limit": "2M"}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, pauses := untilPause(t, service, c.input, measuredNode); got != c.want || pauses != c.pause {
				t.Errorf("it pauses: %t, after %s", pauses, got)
			}
		})
	}
}

// What an outage costs follows from the configuration.
func TestConfiguration_Outage(t *testing.T) {
	c := shippedConfiguration(t)
	input, output := c.Pipeline.Inputs[0], c.Pipeline.Outputs[0]

	t.Run("the input never pauses", func(t *testing.T) {
		if after, pauses := untilPause(t, c.Service, input, measuredNode); pauses || input.Text("storage.type") != "filesystem" {
			t.Errorf("it pauses %s into an outage; chunks are of type %q", after, input.Text("storage.type"))
		}
	})
	for name, l := range map[string]load{"a node as it was measured": measuredNode, "a busy node": busyNode} {
		t.Run("the disk lasts for an hour of "+name, func(t *testing.T) {
			disk := number(t, output, "storage.total_limit_size")
			if needed := l.diskPerHour(); disk < needed {
				t.Errorf("an hour needs %d MB of disk, %d MB are allowed", needed/1e6, disk/1e6)
			}
		})
	}
	t.Run("retries are at most a minute apart", func(t *testing.T) {
		if n := number(t, c.Service, "scheduler.cap"); n > 60 {
			t.Errorf("scheduler.cap is %d", n)
		}
	})
	t.Run("the process ends within the grace period", func(t *testing.T) {
		plugin, process := untilEnd(t, c.Service, output)
		if grace := time.Duration(number(t, c.Service, "grace")) * time.Second; plugin >= grace {
			t.Errorf("the plugin drains for %s, Fluent Bit waits %s for it", plugin, grace)
		}
		if allowed := terminationGracePeriod(t); process+10*time.Second > allowed {
			t.Errorf("the end takes up to %s of %s", process, allowed)
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
