package inject

import (
	"strings"
	"testing"
)

// TestEngine_Pod_Ports has containers that listen on a port of the sidecar, or only
// seem to, with the endpoint that the first container without one of its own gets.
func TestEngine_Pod_Ports(t *testing.T) {
	const (
		stays = "http://127.0.0.1:4317"
		moves = "http://127.0.0.1:14317"
		app   = `{"name":"app","image":"app:1"}`
		sends = `"env":[{"name":"OTEL_EXPORTER_OTLP_ENDPOINT","value":"http://localhost:4317"}]`
	)
	for name, c := range map[string]struct {
		containers, initContainers, want string
	}{
		"a TCP port":                           {app + `,{"name":"b","ports":[{"containerPort":4317}]}`, "", moves},
		"a UDP port":                           {app + `,{"name":"b","ports":[{"containerPort":4317,"protocol":"UDP"}]}`, "", stays},
		"another port":                         {app + `,{"name":"b","ports":[{"containerPort":14318}]}`, "", stays},
		"a native sidecar":                     {app, `{"name":"b","restartPolicy":"Always","ports":[{"containerPort":4317}]}`, moves},
		"an init container, which has ended":   {app, `{"name":"b","ports":[{"containerPort":4317}]}`, stays},
		"a probe":                              {app + `,{"name":"b","startupProbe":{"grpc":{"port":4317}}}`, "", moves},
		"a flag with its value behind it":      {app + `,{"name":"b","command":["serve","--grpc-port"],"args":["4317"]}`, "", moves},
		"another flag with a port as value":    {app + `,{"name":"b","args":["--export-to","4317"]}`, "", stays},
		"a variable":                           {app + `,{"name":"b","env":[{"name":"GRPC_PORT","value":"4317"}]}`, "", moves},
		"a variable of an exporter that sends": {app + `,{"name":"b","env":[{"name":"OTEL_EXPORTER_JAEGER_AGENT_PORT","value":"4317"}]}`, "", stays},
		"a variable of the sidecar":            {app + `,{"name":"b","env":[{"name":"NOVAWIRE_LISTEN","value":":4317"}]}`, "", stays},

		"one of two containers sends to loopback":         {app + `,{"name":"b",` + sends + `}`, "", moves},
		"all containers send to loopback":                 {`{"name":"b",` + sends + `},{"name":"c",` + sends + `}`, "", ""},
		"only a proxy could listen on loopback":           {app + `,{"name":"istio-proxy",` + sends + `}`, "", moves},
		"a mesh's proxy does not listen on OTLP's ports":  {`{"name":"b",` + sends + `},{"name":"istio-proxy"}`, `{"name":"migrate","image":"m"}`, stays},
		"an endpoint of another protocol":                 {app + `,{"name":"b","env":[{"name":"ZIPKIN_ENDPOINT","value":"http://localhost:4317"}]}`, "", stays},
		"a setting of OTLP that is not an endpoint":       {app + `,{"name":"b","env":[{"name":"OTEL_EXPORTER_OTLP_HEADERS","value":"localhost:4317"}]}`, "", stays},
		"an endpoint on loopback that is not OTLP's port": {app + `,{"name":"b","env":[{"name":"OTEL_EXPORTER_OTLP_ENDPOINT","value":"http://localhost:9999/4317"}]}`, "", stays},
	} {
		t.Run(name, func(t *testing.T) {
			raw, _ := wired(t, DefaultConfig(), Namespace{Name: "nova"},
				`{"metadata":{},"spec":{"containers":[`+c.containers+`],"initContainers":[`+c.initContainers+`]}}`)
			if moved := strings.Contains(raw, "127.0.0.1:14317,127.0.0.1:14318"); moved != (c.want == moves) {
				t.Errorf("the sidecar's ports have moved: %t\n%s", moved, raw)
			}
			if c.want != "" && !strings.Contains(raw, `"`+c.want+`"`) {
				t.Errorf("no container has the endpoint %s\n%s", c.want, raw)
			}
		})
	}
	t.Run("the Prometheus exporter listens", func(t *testing.T) {
		raw, _ := wired(t, DefaultConfig(), Namespace{Name: "nova"},
			`{"metadata":{},"spec":{"containers":[{"name":"app","env":[{"name":"OTEL_EXPORTER_PROMETHEUS_PORT","value":"18888"}]}]}}`)
		if !strings.Contains(raw, `"value":":28888"`) {
			t.Errorf("the sidecar's metrics keep the app's port\n%s", raw)
		}
	})
}
