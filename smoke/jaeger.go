package smoke

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Jaeger finds traces by the HTTP API of Jaeger's query service, which Grafana Tempo
// has too.
type Jaeger struct {
	URL    string // of the query service, without /api
	Client *http.Client
}

// Services returns the names of the services that have spans of the trace.
func (j Jaeger) Services(ctx context.Context, traceID string) ([]string, error) {
	url := strings.TrimSuffix(j.URL, "/") + "/api/traces/" + traceID
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // the URL is the user's
	if err != nil {
		return nil, err
	}
	response, err := j.Client.Do(request) //nolint:gosec // the URL is the user's
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, nil
	default:
		return nil, fmt.Errorf("GET %s: status %d", url, response.StatusCode)
	}
	var found struct {
		Data []struct {
			Spans []struct {
				ProcessID string `json:"processID"`
			} `json:"spans"`
			Processes map[string]struct {
				ServiceName string `json:"serviceName"`
			} `json:"processes"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(&found); err != nil {
		return nil, fmt.Errorf("GET %s: %w", url, err)
	}
	var names []string
	for _, trace := range found.Data {
		for _, span := range trace.Spans {
			names = append(names, trace.Processes[span.ProcessID].ServiceName)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
