// Package configfile reads Fluent Bit's YAML configuration and finds the mistakes
// in it that Fluent Bit accepts without a word: unknown keys of the plugin's
// outputs, and values of Fluent Bit's own keys with which lines are lost.
package configfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/internal/validate"
)

// Section is one section of a configuration, such as an input. Fluent Bit ignores
// the case of keys.
type Section map[string]any

// Text returns the value of a key as Fluent Bit reads it, or "".
func (s Section) Text(key string) string {
	for name, value := range s {
		if strings.EqualFold(name, key) && value != nil {
			if on, isBool := value.(bool); isBool {
				return map[bool]string{true: "on", false: "off"}[on]
			}
			return fmt.Sprint(value)
		}
	}
	return ""
}

// Configuration is the part of a configuration that the checks read.
type Configuration struct {
	Includes []string  `yaml:"includes"`
	Service  Section   `yaml:"service"`
	Plugins  []string  `yaml:"plugins"`
	Parsers  []Section `yaml:"parsers"`
	Pipeline struct {
		Inputs  []Section `yaml:"inputs"`
		Filters []Section `yaml:"filters"`
		Outputs []Section `yaml:"outputs"`
	} `yaml:"pipeline"`
}

// Parse reads a configuration.
func Parse(text []byte) (c Configuration, err error) {
	if err := yaml.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("read YAML: %w", err)
	}
	return c, nil
}

// outputKeys are the keys that Fluent Bit reads of every output (src/flb_output.c
// of 5.1.1), beside those that begin with net., tls. and storage.
var outputKeys = []string{"name", "match", "match_regex", "alias", "log_level", "log_suppress_interval", "retry_limit", "workers", "storage.total_limit_size", "host", "port", "tls", "ipv6"}

// Check returns every mistake of a configuration. getenv supplies the values of
// ${NAME}; a name without a value is not checked.
func Check(text []byte, getenv func(string) string) error {
	c, err := Parse(text)
	if err != nil {
		return err
	}
	var mistakes []error
	if len(c.Includes) > 0 {
		mistakes = append(mistakes, fmt.Errorf("includes: check the included files %s on their own and leave the outputs here", strings.Join(c.Includes, ", ")))
	}
	found := false
	for _, output := range c.Pipeline.Outputs {
		if strings.EqualFold(output.Text("name"), "novawire") {
			found = true
			mistakes = append(mistakes, checkOutput(output, getenv)...)
		}
	}
	if !found {
		mistakes = append(mistakes, errors.New("pipeline.outputs: no output has the name novawire"))
	}
	mistakes = append(mistakes, checkService(c.Service)...)
	for _, input := range c.Pipeline.Inputs {
		mistakes = append(mistakes, checkInput(input)...)
	}
	return errors.Join(mistakes...)
}

// Warnings returns what is wrong with rules of redaction. It keeps Fluent Bit from nothing:
// the rules say themselves what a mistake in them leads to.
func Warnings(text []byte, getenv func(string) string) (all []string) {
	c, err := Parse(text)
	if err != nil {
		return nil // Check reports it
	}
	for _, output := range c.Pipeline.Outputs {
		if !strings.EqualFold(output.Text("name"), "novawire") {
			continue
		}
		config, _ := fluentbit.ParseConfig(func(key string) string { return expand(output.Text(key), key, getenv) })
		for _, mistake := range config.RedactMistakes {
			all = append(all, "redact: "+mistake)
		}
	}
	return all
}

func checkOutput(output Section, getenv func(string) string) (mistakes []error) {
	keys := fluentbit.Keys()
	known := slices.Concat(keys, outputKeys)
	for _, key := range sortedKeys(output) {
		name := strings.ToLower(key)
		if !slices.Contains(known, name) && !strings.HasPrefix(name, "net.") && !strings.HasPrefix(name, "tls.") {
			mistakes = append(mistakes, unknown(key, known))
		}
	}
	value := func(key string) string {
		if !slices.Contains(keys, key) {
			return "" // unknown keys are reported already
		}
		return expand(output.Text(key), key, getenv)
	}
	if _, err := fluentbit.ParseConfig(value); err != nil {
		mistakes = append(mistakes, err)
	}
	if limit := output.Text("retry_limit"); !slices.Contains([]string{"no_limits", "false", "off"}, strings.ToLower(limit)) {
		mistakes = append(mistakes, fmt.Errorf("retry_limit %q: use no_limits: with any other value Fluent Bit drops chunks during an outage", limit))
	}
	if n, err := strconv.Atoi(output.Text("workers")); err != nil || n < 1 {
		mistakes = append(mistakes, fmt.Errorf("workers %q: use a number from 1: without workers a delivery stops all of Fluent Bit", output.Text("workers")))
	}
	return mistakes
}

func unknown(key string, known []string) error {
	if nearest := validate.Nearest(strings.ToLower(key), known); nearest != "" {
		return fmt.Errorf("%s: no such key: %s is meant?", key, nearest)
	}
	return fmt.Errorf("%s: no such key", key)
}

// expand replaces ${NAME}. A value that depends on the node is checked there.
func expand(value, key string, getenv func(string) string) string {
	for {
		before, rest, opened := strings.Cut(value, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !opened || !closed {
			return value
		}
		replacement := getenv(name)
		if replacement == "" && key == "region" {
			replacement = "eu-west-1" // any valid value
		}
		value = before + replacement + after
	}
}

func checkService(service Section) (mistakes []error) {
	if limit, err := strconv.Atoi(service.Text("scheduler.cap")); err != nil || limit > 60 {
		mistakes = append(mistakes, fmt.Errorf("service.scheduler.cap %q: use at most 60: with Fluent Bit's default of 2000, chunks wait half an hour after an outage", service.Text("scheduler.cap")))
	}
	if service.Text("storage.path") == "" {
		mistakes = append(mistakes, errors.New("service.storage.path: set a folder that outlives the process: without it chunks are lost with the process"))
	}
	return mistakes
}

func checkInput(input Section) (mistakes []error) {
	name := input.Text("name")
	if input.Text("storage.type") != "filesystem" {
		mistakes = append(mistakes, fmt.Errorf("input %s: storage.type %q: use filesystem: other chunks are lost with the process", name, input.Text("storage.type")))
	}
	if on(input.Text("storage.pause_on_chunks_overlimit")) {
		mistakes = append(mistakes, fmt.Errorf("input %s: storage.pause_on_chunks_overlimit: leave it off: an input that pauses loses files that rotate meanwhile", name))
	}
	return mistakes
}

func on(value string) bool {
	return slices.Contains([]string{"on", "true", "yes"}, strings.ToLower(value))
}

func sortedKeys(s Section) []string {
	keys := make([]string, 0, len(s))
	for key := range s {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
