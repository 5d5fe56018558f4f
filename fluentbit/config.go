package fluentbit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/aws"
	"github.com/nova/novawire/internal/validate"
)

// Config is the configuration of one output. docs/logs.md describes the keys.
type Config struct {
	ID       string // names the instance in logs and metrics
	Region   string
	Endpoint string // URL of the service; by default the region's own
	Role     string // ARN of a role to assume; "" for none
	Group    Template
	Stream   Template
	// MetricsStream names the stream of the documents with counts. It is in the
	// log group of their service.
	MetricsStream Template
	// MetricsNamespace is the CloudWatch namespace of the counts; "" disables them.
	MetricsNamespace string
	// PodFiles is the directory of the agent, which describes pods; "" for none.
	PodFiles string
	// UndecidedGroup takes the lines of pods that nobody knows to be wired or not.
	UndecidedGroup Template
	Retention      int // days, set on log groups that the plugin creates; 0 never expires
	Node           string
	// ServiceNameLabels are pod labels that name a service, as in the configuration
	// of injection.
	ServiceNameLabels []string
	AllMetadata       bool // messages repeat all metadata of the kubernetes filter
	// FlushTimeout is how long the delivery of a chunk may take before Fluent Bit
	// is asked to retry it.
	FlushTimeout   time.Duration
	RequestTimeout time.Duration
	// ShutdownTimeout is how long deliveries go on after SIGTERM.
	ShutdownTimeout time.Duration
	// Listen is the address of /metrics; "" serves none.
	Listen string
	// Redact are the rules of redaction, RedactKey the key of their hashes, which is
	// secret, and RedactMistakes what is wrong with them: rules with a mistake fail as the
	// rules themselves say, so that they are no errors.
	Redact         redaction.Rules
	RedactKey      string
	RedactMistakes []string
}

// retentions are the numbers of days that PutRetentionPolicy accepts (its API reference).
var retentions = []int{0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// ParseConfig reads the configuration of an output. get returns the value of a
// key, or "" if it is not set. The error lists every mistake.
func ParseConfig(get func(key string) string) (Config, error) {
	p := parser{get: get}
	c := p.config()
	for _, key := range p.keys {
		p.checkMisspelling(key)
	}
	return c, errors.Join(p.mistakes...)
}

// Keys returns the keys of an output.
func Keys() []string {
	p := parser{get: func(string) string { return "" }}
	p.config()
	return p.keys
}

func (p *parser) config() Config {
	c := Config{
		ID:                p.text("id", "novawire"),
		Region:            p.text("region", ""),
		Role:              p.text("role_arn", ""),
		Group:             p.template("log_group", "/nova/{namespace}/{service}", groupCharacters),
		Stream:            p.template("log_stream", "{node}", streamCharacters),
		MetricsStream:     p.template("metric_stream", "metrics/{node}", streamCharacters),
		MetricsNamespace:  p.text("metric_namespace", "Nova/Logs"),
		Retention:         p.retention("retention_days", 30),
		PodFiles:          p.text("pod_files", ""),
		UndecidedGroup:    p.template("undecided_log_group", "/nova/undecided/{namespace}", groupCharacters),
		ShutdownTimeout:   p.duration("shutdown_timeout", 5*time.Second, 0, time.Minute),
		Node:              p.text("node", "unknown"),
		ServiceNameLabels: p.list("service_name_labels"),
		AllMetadata:       p.choice("kubernetes", "names", "all") == "all",
		FlushTimeout:      p.duration("flush_timeout", 10*time.Second, time.Second, 5*time.Minute),
		RequestTimeout:    p.duration("request_timeout", 5*time.Second, 100*time.Millisecond, time.Minute),
		Listen:            p.text("metrics_listen", ""),
	}
	p.redaction(&c)
	if c.MetricsNamespace == "none" {
		c.MetricsNamespace = ""
	}
	fips := p.choice("use_fips_endpoint", "false", "true") == "true"
	if c.Endpoint = strings.TrimSuffix(p.text("endpoint", ""), "/"); c.Endpoint != "" {
		p.checkEndpoint(c.Endpoint)
	} else {
		c.Endpoint = aws.Endpoint("logs", c.Region, fips)
	}
	p.checkRegion(c)
	return c
}

func (p *parser) redaction(c *Config) {
	rules := p.text("redact", "")
	c.RedactKey = p.text("redact_key", "")
	c.Redact, _ = redaction.Parse(rules)
	c.RedactMistakes = redaction.Mistakes(rules, rules)
	if c.Redact.Hashes() && c.RedactKey == "" {
		c.RedactMistakes = append(c.RedactMistakes, "rules that hash mask instead: redact_key is not set")
	}
}

func (p *parser) checkEndpoint(endpoint string) {
	if u, ok := validate.HTTPURL(endpoint); !ok || u.RawQuery != "" {
		p.check("endpoint", endpoint, errors.New("use an http or https URL without user and query"))
	}
}

// checkRegion refuses what is not an AWS region. The service behind another
// endpoint may name its regions otherwise.
func (p *parser) checkRegion(c Config) {
	switch custom := p.value("endpoint") != ""; {
	case c.Region == "":
		p.check("region", "", errors.New("set it here or as AWS_REGION"))
	case !validate.Region(c.Region) && !(custom && validate.RegionLabel(c.Region)):
		p.check("region", c.Region, errors.New("use an AWS region, such as eu-west-1"))
	}
}

// checkMisspelling refuses keys that differ from a known key in one character, or
// in the order of two: Fluent Bit ignores unknown keys, and its API only looks up
// single keys, so those that a typing mistake makes of a known key are looked up.
func (p *parser) checkMisspelling(key string) {
	for _, typo := range misspellings(key) {
		if !slices.Contains(p.keys, typo) && p.get(typo) != "" {
			p.mistakes = append(p.mistakes, fmt.Errorf("%s: no such key: %s is meant?", typo, key))
		}
	}
}

func misspellings(key string) []string {
	const characters = "abcdefghijklmnopqrstuvwxyz_-."
	all := map[string]bool{}
	for i := range len(key) + 1 {
		before, after := key[:i], key[i:]
		for _, c := range characters {
			all[before+string(c)+after] = true
			if after != "" {
				all[before+string(c)+after[1:]] = true
			}
		}
		if after != "" {
			all[before+after[1:]] = true
		}
		if len(after) > 1 {
			all[before+after[1:2]+after[:1]+after[2:]] = true
		}
	}
	delete(all, key)
	delete(all, "")
	return slices.Sorted(maps.Keys(all))
}

type parser struct {
	get      func(string) string
	keys     []string // those that were read
	mistakes []error
}

func (p *parser) value(key string) string {
	if !slices.Contains(p.keys, key) {
		p.keys = append(p.keys, key)
	}
	return strings.TrimSpace(p.get(key))
}

func (p *parser) check(key, value string, err error) {
	if err != nil {
		p.mistakes = append(p.mistakes, fmt.Errorf("%s %q: %w", key, value, err))
	}
}

func (p *parser) text(key, fallback string) string {
	if value := p.value(key); value != "" {
		return value
	}
	return fallback
}

// list reads a comma-separated list.
func (p *parser) list(key string) (all []string) {
	for part := range strings.SplitSeq(p.value(key), ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

func (p *parser) template(key, fallback string, allowed func(rune) bool) Template {
	value := p.text(key, fallback)
	t, err := ParseTemplate(value, allowed)
	p.check(key, value, err)
	return t
}

func (p *parser) choice(key string, allowed ...string) string {
	value := strings.ToLower(p.text(key, allowed[0]))
	if !slices.Contains(allowed, value) {
		p.check(key, value, fmt.Errorf("use one of %s", strings.Join(allowed, ", ")))
	}
	return value
}

func (p *parser) retention(key string, fallback int) int {
	value := p.text(key, strconv.Itoa(fallback))
	days, err := strconv.Atoi(value)
	if err != nil || !slices.Contains(retentions, days) {
		p.check(key, value, fmt.Errorf("use one of %v days; 0 never expires", retentions))
	}
	return days
}

func (p *parser) duration(key string, fallback, lowest, highest time.Duration) time.Duration {
	value := p.text(key, fallback.String())
	d, err := time.ParseDuration(value)
	if err != nil || d < lowest || d > highest {
		p.check(key, value, fmt.Errorf("use a duration from %s to %s", lowest, highest))
	}
	return d
}
