// Package monitoring describes the alerts of Novawire and of Nova's services once.
// `make generate` writes them as PrometheusRules, as a rule file for a plain
// Prometheus, as Terraform and CloudFormation alarms, and as runbook pages; a test
// holds the files equal to the description.
package monitoring

import "time"

// Severity decides how an alert is delivered.
type Severity string

// Critical alerts call somebody at night; warnings wait for the morning.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
)

// Group is a set of alerts with one PrometheusRule and one runbook page.
type Group struct {
	Name      string // of the file and of the page
	Namespace string // of the PrometheusRule
	Title     string // of the page
	Alerts    []Alert
}

// Alert is one alert.
type Alert struct {
	Name     string
	Expr     string // PromQL; "" if only CloudWatch has the metric
	For      time.Duration
	Severity Severity
	// Summary and Description are templates of Prometheus.
	Summary, Description string
	// Meaning, Commands and Cause are the runbook: what has happened, the first
	// commands to run, and what usually causes it.
	Meaning  string
	Commands []string
	Cause    string
	Alarm    *Alarm
}

// Alarm is the CloudWatch alarm with the same meaning.
type Alarm struct {
	Namespace  string
	Metric     string
	Per        Dimension
	Statistic  string // Sum, Minimum or Maximum
	Period     time.Duration
	Periods    int // evaluation periods
	Datapoints int // of them that must breach
	Compare    Comparison
	Threshold  float64
	Missing    Missing
}

// Dimension names what an alarm exists for: one alarm for each.
type Dimension string

// PerService alarms have the dimensions Namespace and Service, PerDatabase alarms
// the dimension Database.
const (
	PerService  Dimension = "service"
	PerDatabase Dimension = "database"
)

// Comparison is CloudWatch's comparison operator.
type Comparison string

// The comparisons in use.
const (
	Above Comparison = "GreaterThanThreshold"
	Below Comparison = "LessThanThreshold"
)

// Missing says how CloudWatch treats a period without data.
type Missing string

// The treatments in use.
const (
	MissingIsGood Missing = "notBreaching"
	MissingIsBad  Missing = "breaching"
	MissingStays  Missing = "ignore"
)

// Groups returns all groups in the order of the documentation.
func Groups() []Group {
	return []Group{services(), webhook(), certificates(), backup(), sidecar(), logs()}
}
