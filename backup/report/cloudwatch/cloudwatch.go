// Package cloudwatch reports measurements to Amazon CloudWatch: by its API, or
// where that is out of reach as a line in the Embedded Metric Format, which
// CloudWatch Logs turns into the same metrics.
package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/nova/novawire/backup/report"
)

// Reporter sends measurements.
type Reporter struct {
	// Client is nil where the API is not to be tried.
	Client    *sdk.Client
	Namespace string
	// Fallback takes the lines.
	Fallback io.Writer
}

// NewClient returns a client; endpoint is "" for AWS's own.
func NewClient(region, endpoint string, credentials aws.CredentialsProvider) *sdk.Client {
	options := sdk.Options{Region: region, Credentials: credentials, RetryMaxAttempts: 2}
	if endpoint != "" {
		options.BaseEndpoint = &endpoint
	}
	return sdk.New(options)
}

// timeToSend is how long metrics may keep a finished backup waiting.
const timeToSend = 10 * time.Second

// maxData is how many one request takes.
const maxData = 1000

// Report sends the measurements, or writes them where they cannot be sent. The
// error says why they were written; it is for the log and for nothing else.
func (r Reporter) Report(ctx context.Context, measurements []report.Measurement, at time.Time) error {
	if len(measurements) == 0 {
		return nil
	}
	if r.Client == nil {
		return r.write(measurements, at)
	}
	ctx, cancel := context.WithTimeout(ctx, timeToSend)
	defer cancel()
	for from := 0; from < len(measurements); from += maxData {
		batch := measurements[from:min(len(measurements), from+maxData)]
		_, err := r.Client.PutMetricData(ctx, &sdk.PutMetricDataInput{Namespace: &r.Namespace, MetricData: data(batch, at)})
		if err != nil {
			if writeErr := r.write(measurements[from:], at); writeErr != nil {
				return writeErr
			}
			return fmt.Errorf("send metrics: %w", err)
		}
	}
	return nil
}

func data(measurements []report.Measurement, at time.Time) (all []types.MetricDatum) {
	for _, m := range measurements {
		datum := types.MetricDatum{MetricName: aws.String(m.Name), Value: aws.Float64(m.Value), Unit: types.StandardUnit(m.Unit), Timestamp: &at}
		for _, d := range dimensions(m) {
			datum.Dimensions = append(datum.Dimensions, types.Dimension{Name: aws.String(d[0]), Value: aws.String(d[1])})
		}
		all = append(all, datum)
	}
	return all
}

// dimensions are few: each combination is a metric of its own, and billed.
func dimensions(m report.Measurement) (pairs [][2]string) {
	if m.Database != "" {
		pairs = append(pairs, [2]string{"Database", m.Database})
	}
	if m.Category != "" {
		pairs = append(pairs, [2]string{"Category", string(m.Category)})
	}
	return pairs
}

// write prints a line for each set of dimensions, as the format wants it.
func (r Reporter) write(measurements []report.Measurement, at time.Time) error {
	for _, group := range group(measurements) {
		line := map[string]any{}
		var names []string
		for _, d := range dimensions(group[0]) {
			line[d[0]] = d[1]
			names = append(names, d[0])
		}
		if names == nil {
			names = []string{}
		}
		var metrics []map[string]string
		for _, m := range group {
			line[m.Name] = m.Value
			metrics = append(metrics, map[string]string{"Name": m.Name, "Unit": m.Unit})
		}
		line["_aws"] = map[string]any{
			"Timestamp":         at.UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{"Namespace": r.Namespace, "Dimensions": [][]string{names}, "Metrics": metrics}},
		}
		encoded, err := json.Marshal(line)
		if err != nil {
			return fmt.Errorf("encode metrics: %w", err)
		}
		if _, err := fmt.Fprintf(r.Fallback, "%s\n", encoded); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return nil
}

func group(measurements []report.Measurement) (groups [][]report.Measurement) {
	places := map[string]int{}
	for _, m := range measurements {
		key := m.Database + "\x00" + string(m.Category)
		place, there := places[key]
		if !there {
			place = len(groups)
			places[key] = place
			groups = append(groups, nil)
		}
		groups[place] = append(groups[place], m)
	}
	return groups
}
