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

// Config is what an [OUTPUT] section says. docs/logs.md describes the keys.
type Config struct {
	ID       string // names the instance in logs and metrics
	Region   string
	Endpoint string // of the service; the Region's own unless set
	Role     string // assumed with the credentials of the environment; "" for none
	Group    Template
	Stream   Template
	// MetricsStream takes the documents of the counts, in the group of their service.
	MetricsStream Template
	// MetricsNamespace is the counts' in CloudWatch; "" counts nothing.
	MetricsNamespace string
	Retention        int // days, of groups that are created; 0 is for ever
	Node             string
	WholeKubernetes  bool
	// FlushTimeout is how long a chunk may take before Fluent Bit is to bring it again.
	FlushTimeout   time.Duration
	RequestTimeout time.Duration
	// Listen is the address of /metrics; "" for none.
	Listen string
}

// retentions are the days that the service takes (API reference of PutRetentionPolicy).
var retentions = []int{0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// ParseConfig reads a section, of which get returns the value of a key, or "".
// The error names every mistake.
func ParseConfig(get func(key string) string) (Config, error) {
	p := parser{get: get}
	c := Config{
		ID:               p.text("id", "novawire"),
		Region:           p.text("region", ""),
		Role:             p.text("role_arn", ""),
		Group:            p.template("log_group", "/nova/{namespace}/{service}", groupCharacters),
		Stream:           p.template("log_stream", "{node}", streamCharacters),
		MetricsStream:    p.template("metric_stream", "metrics/{node}", streamCharacters),
		MetricsNamespace: p.text("metric_namespace", "Nova/Logs"),
		Retention:        p.retention("retention_days", 30),
		Node:             p.text("node", "unknown"),
		WholeKubernetes:  p.choice("kubernetes", "names", "all") == "all",
		FlushTimeout:     p.duration("flush_timeout", 10*time.Second, time.Second, 5*time.Minute),
		RequestTimeout:   p.duration("request_timeout", 5*time.Second, 100*time.Millisecond, time.Minute),
		Listen:           p.text("metrics_listen", ""),
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
		p.check("region", "", errors.New("it must be set, here or as AWS_REGION"))
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

func (p *parser) template(key, fallback string, allowed func(rune) bool) Template {
	value := p.text(key, fallback)
	t, err := ParseTemplate(value, allowed)
	p.check(key, value, err)
	return t
}

func (p *parser) choice(key string, allowed ...string) string {
	value := strings.ToLower(p.text(key, allowed[0]))
	if !slices.Contains(allowed, value) {
		p.check(key, value, fmt.Errorf("one of %s is needed", strings.Join(allowed, ", ")))
	}
	return value
}

func (p *parser) retention(key string, fallback int) int {
	value := p.text(key, strconv.Itoa(fallback))
	days, err := strconv.Atoi(value)
	if err != nil || !slices.Contains(retentions, days) {
		p.check(key, value, fmt.Errorf("one of %v days is needed, 0 for ever", retentions))
	}
	return days
}

func (p *parser) duration(key string, fallback, least, most time.Duration) time.Duration {
	value := p.text(key, fallback.String())
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most {
		p.check(key, value, fmt.Errorf("a duration from %s to %s is needed", least, most))
	}
	return d
}
