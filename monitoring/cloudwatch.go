package monitoring

import (
	"bytes"
	"fmt"
	"strings"
)

// alarms returns the alerts that have a CloudWatch alarm.
func alarms(groups []Group) (all []Alert) {
	for _, g := range groups {
		for _, a := range g.Alerts {
			if a.Alarm != nil {
				all = append(all, a)
			}
		}
	}
	return all
}

// description returns the alarm's description: the meaning and the runbook page.
// CloudWatch has no templates.
func description(groups []Group, a Alert) string {
	for _, g := range groups {
		for _, other := range g.Alerts {
			if other.Name == a.Name {
				return strings.ReplaceAll(a.Meaning, "`", "") + " Runbook: " + runbookURL(g, a)
			}
		}
	}
	return a.Meaning
}

// Terraform returns the alarms as resources of the AWS provider, formatted as
// `terraform fmt` does.
func Terraform(groups []Group) []byte {
	var out bytes.Buffer
	out.WriteString(generated)
	for _, a := range alarms(groups) {
		collection, name := "var.databases", "each.key"
		dimensions := "    Database = each.key\n"
		if a.Alarm.Per == PerService {
			collection, dimensions = "local.services", "    Namespace = each.value.namespace\n    Service   = each.value.service\n"
		}
		fmt.Fprintf(&out, "\nresource \"aws_cloudwatch_metric_alarm\" %q {\n", snake(a.Name))
		fmt.Fprintf(&out, "  for_each = %s\n\n", collection)
		attributes := [][2]string{
			{"alarm_name", fmt.Sprintf("\"${var.prefix}%s ${%s}\"", a.Name, name)},
			{"alarm_description", fmt.Sprintf("%q", description(groups, a))},
			{"namespace", fmt.Sprintf("%q", a.Alarm.Namespace)},
			{"metric_name", fmt.Sprintf("%q", a.Alarm.Metric)},
			{"statistic", fmt.Sprintf("%q", a.Alarm.Statistic)},
			{"period", fmt.Sprint(int(a.Alarm.Period.Seconds()))},
			{"evaluation_periods", fmt.Sprint(a.Alarm.Periods)},
			{"datapoints_to_alarm", fmt.Sprint(a.Alarm.Datapoints)},
			{"comparison_operator", fmt.Sprintf("%q", a.Alarm.Compare)},
			{"threshold", fmt.Sprintf("%.0f", a.Alarm.Threshold)},
			{"treat_missing_data", fmt.Sprintf("%q", a.Alarm.Missing)},
			{"alarm_actions", "[" + topic(a) + "]"},
			{"ok_actions", "[" + topic(a) + "]"},
		}
		for _, pair := range attributes {
			fmt.Fprintf(&out, "  %-19s = %s\n", pair[0], pair[1])
		}
		fmt.Fprintf(&out, "  dimensions = {\n%s  }\n}\n", dimensions)
	}
	return out.Bytes()
}

func topic(a Alert) string {
	return "aws_sns_topic." + string(a.Severity) + ".arn"
}

// snake turns NovaRedisTimeouts into nova_redis_timeouts.
func snake(name string) string {
	var out strings.Builder
	for i, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 && (lower(name[i-1]) || i+1 < len(name) && lower(name[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(r)
	}
	return strings.ToLower(out.String())
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }

// CloudFormation returns a template with the alarms of one service or one database;
// the parameter that is empty leaves its alarms out.
func CloudFormation(groups []Group) ([]byte, error) {
	parameter := func(value, text string) map[string]any {
		return map[string]any{"Type": "String", "Default": value, "Description": text}
	}
	notEmpty := func(name string) map[string]any {
		return map[string]any{"Fn::Not": []any{map[string]any{"Fn::Equals": []any{map[string]any{"Ref": name}, ""}}}}
	}
	resources := map[string]any{
		"Critical": map[string]any{"Type": "AWS::SNS::Topic", "Properties": map[string]any{"KmsMasterKeyId": "alias/aws/sns"}},
		"Warning":  map[string]any{"Type": "AWS::SNS::Topic", "Properties": map[string]any{"KmsMasterKeyId": "alias/aws/sns"}},
	}
	for _, a := range alarms(groups) {
		resources[a.Name] = cloudFormationAlarm(groups, a)
	}
	outputs := map[string]any{}
	for _, name := range []string{"Critical", "Warning"} {
		outputs[name+"Topic"] = map[string]any{"Description": "Topic of " + strings.ToLower(name) + " alarms", "Value": map[string]any{"Ref": name}}
	}
	return marshal(map[string]any{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              "CloudWatch alarms of one Nova service, of one database, or of both",
		"Parameters": map[string]any{
			"ServiceNamespace": parameter("nova", "Kubernetes namespace of the service"),
			"ServiceName":      parameter("", "Name of the service, or empty for no alarms of a service"),
			"Database":         parameter("", "Name of the database, or empty for no alarms of a database"),
		},
		"Conditions": map[string]any{"HasService": notEmpty("ServiceName"), "HasDatabase": notEmpty("Database")},
		"Resources":  resources,
		"Outputs":    outputs,
	})
}

func cloudFormationAlarm(groups []Group, a Alert) map[string]any {
	dimension := func(name, parameter string) map[string]any {
		return map[string]any{"Name": name, "Value": map[string]any{"Ref": parameter}}
	}
	condition, dimensions := "HasDatabase", []any{dimension("Database", "Database")}
	if a.Alarm.Per == PerService {
		condition, dimensions = "HasService", []any{dimension("Namespace", "ServiceNamespace"), dimension("Service", "ServiceName")}
	}
	actions := []any{map[string]any{"Ref": strings.ToUpper(string(a.Severity[:1])) + string(a.Severity[1:])}}
	return map[string]any{
		"Type":      "AWS::CloudWatch::Alarm",
		"Condition": condition,
		"Properties": map[string]any{
			"AlarmDescription":   description(groups, a),
			"Namespace":          a.Alarm.Namespace,
			"MetricName":         a.Alarm.Metric,
			"Dimensions":         dimensions,
			"Statistic":          a.Alarm.Statistic,
			"Period":             int(a.Alarm.Period.Seconds()),
			"EvaluationPeriods":  a.Alarm.Periods,
			"DatapointsToAlarm":  a.Alarm.Datapoints,
			"ComparisonOperator": string(a.Alarm.Compare),
			"Threshold":          a.Alarm.Threshold,
			"TreatMissingData":   string(a.Alarm.Missing),
			"AlarmActions":       actions,
			"OKActions":          actions,
		},
	}
}
