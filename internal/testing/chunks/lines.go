package chunks

import "time"

// Noon is a fixed time for tests.
var Noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Kubernetes returns the map that Fluent Bit's kubernetes filter adds to a line
// of a Deployment's pod, of realistic length.
func Kubernetes(namespace, workload, container, node string) Map {
	pod := workload + "-5d8f7c9b46-x2v9k"
	return Map{
		{"pod_name", pod},
		{"namespace_name", namespace},
		{"pod_id", "9d1f6f3e-6e0e-4a38-b3f0-0a5a1c0a5d11"},
		{"labels", Map{
			{"app.kubernetes.io/name", workload},
			{"app.kubernetes.io/part-of", "nova"},
			{"logging", "structured"},
			{"nova.dev/metrics", "true"},
			{"pod-template-hash", "5d8f7c9b46"},
		}},
		{"annotations", Map{{"prometheus.io/scrape", "true"}, {"prometheus.io/port", "9090"}}},
		{"ownerReferences", []any{Map{{"apiVersion", "apps/v1"}, {"kind", "ReplicaSet"}, {"name", workload + "-5d8f7c9b46"}, {"controller", true}}}},
		{"host", node},
		{"pod_ip", "10.244.0.17"},
		{"container_name", container},
		{"docker_id", "0b6a3b6e8a8f0f6a1c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"},
		{"container_image", "ghcr.io/nova/" + workload + ":v1.4.2"},
	}
}

// Line encodes a record of the tail input with multiline.parser cri and the
// kubernetes filter.
func Line(at time.Time, line string, kubernetes any) Raw {
	body := Map{{"time", at.Format(time.RFC3339Nano)}, {"stream", "stdout"}, {"_p", "F"}, {"log", line}}
	if kubernetes != nil {
		body = append(body, [2]any{"kubernetes", kubernetes})
	}
	return V2(EventTime(at), Map{}, body)
}
