package fluentbit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nova/novawire/fluentbit/cloudwatchlogs"
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
	Retention        int // days, set on log groups that the plugin creates; 0 never expires
	Node             string
	// ServiceNameLabels are pod labels that name a service, as in the configuration
	// of injection.
	ServiceNameLabels []string
	AllMetadata       bool // messages repeat all metadata of the kubernetes filter
	// FlushTimeout is how long the delivery of a chunk may take before Fluent Bit
	// is asked to retry it.
	FlushTimeout   time.Duration
	RequestTimeout time.Duration
	// Listen is the address of /metrics; "" serves none.
	Listen string
}

// retentions are the numbers of days that PutRetentionPolicy accepts (its API reference).
var retentions = []int{0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// ParseConfig reads the configuration of an output. get returns the value of a
// key, or "" if it is not set. The error lists every mistake.
func ParseConfig(get func(key string) string) (Config, error) {
	p := parser{get: get}
	c := Config{
		ID:                p.text("id", "novawire"),
		Region:            p.text("region", ""),
		Role:              p.text("role_arn", ""),
		Group:             p.template("log_group", "/nova/{namespace}/{service}", groupCharacters),
		Stream:            p.template("log_stream", "{node}", streamCharacters),
		MetricsStream:     p.template("metric_stream", "metrics/{node}", streamCharacters),
		MetricsNamespace:  p.text("metric_namespace", "Nova/Logs"),
		Retention:         p.retention("retention_days", 30),
		Node:              p.text("node", "unknown"),
		ServiceNameLabels: p.list("service_name_labels"),
		AllMetadata:       p.choice("kubernetes", "names", "all") == "all",
		FlushTimeout:      p.duration("flush_timeout", 10*time.Second, time.Second, 5*time.Minute),
		RequestTimeout:    p.duration("request_timeout", 5*time.Second, 100*time.Millisecond, time.Minute),
		Listen:            p.text("metrics_listen", ""),
	}
	if c.MetricsNamespace == "none" {
		c.MetricsNamespace = ""
	}
	if c.Endpoint = strings.TrimSuffix(p.text("endpoint", ""), "/"); c.Endpoint != "" {
		p.check("endpoint", c.Endpoint, cloudwatchlogs.CheckEndpoint(c.Endpoint))
	} else {
		c.Endpoint = cloudwatchlogs.Endpoint(c.Region)
	}
	if c.Region == "" {
		p.check("region", "", errors.New("set it here or as AWS_REGION"))
	}
	return c, errors.Join(p.mistakes...)
}

type parser struct {
	get      func(string) string
	mistakes []error
}

func (p *parser) check(key, value string, err error) {
	if err != nil {
		p.mistakes = append(p.mistakes, fmt.Errorf("%s %q: %w", key, value, err))
	}
}

func (p *parser) text(key, fallback string) string {
	if value := strings.TrimSpace(p.get(key)); value != "" {
		return value
	}
	return fallback
}

// list reads a comma-separated list.
func (p *parser) list(key string) (all []string) {
	for part := range strings.SplitSeq(p.get(key), ",") {
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
