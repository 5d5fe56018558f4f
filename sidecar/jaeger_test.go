package sidecar_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// jaeger is a real one, with its store in memory.
type jaeger struct{ grpc, http, query string }

func startJaeger(t *testing.T) jaeger {
	t.Helper()
	path := prerequisite.Path(t, "NOVAWIRE_JAEGER", "jaeger")
	j := jaeger{grpc: freeAddress(t), http: freeAddress(t), query: freeAddress(t)}
	args := []string{
		"--collector.otlp.grpc.host-port=" + j.grpc, "--collector.otlp.http.host-port=" + j.http, "--query.http-server.host-port=" + j.query,
		"--log-level=error",
	}
	for _, unused := range []string{
		"admin.http.", "collector.grpc-server.", "collector.http-server.", "http-server.", "query.grpc-server.",
		"processor.jaeger-binary.server-", "processor.jaeger-compact.server-", "processor.zipkin-compact.server-",
	} {
		args = append(args, "--"+unused+"host-port="+freeAddress(t))
	}
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "Jaeger answers", func() bool {
		response, err := http.Get("http://" + j.query + "/api/services")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return j
}

// find returns the trace's number of spans, and the resource that they share.
func (j jaeger) find(trace string) (spans int, resource map[string]string) {
	response, err := http.Get("http://" + j.query + "/api/traces/" + trace)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	var found struct {
		Data []struct {
			Spans     []struct{}
			Processes map[string]struct {
				ServiceName string
				Tags        []struct{ Key, Value string }
			}
		}
	}
	if json.NewDecoder(response.Body).Decode(&found) != nil || len(found.Data) == 0 {
		return 0, nil
	}
	for _, p := range found.Data[0].Processes {
		resource = map[string]string{"service.name": p.ServiceName}
		for _, tag := range p.Tags {
			resource[tag.Key] = tag.Value
		}
	}
	return len(found.Data[0].Spans), resource
}

// The stock SDK sends through the sidecar to Jaeger: by either protocol in, and
// by either out, the trace is found with the attributes of the pod.
func TestJaeger_StockSDK(t *testing.T) {
	sdk := prerequisite.Path(t, "NOVAWIRE_SDK", "sdk")
	j := startJaeger(t)
	for out, address := range map[sidecarapi.Protocol]string{sidecarapi.ProtocolGRPC: j.grpc, sidecarapi.ProtocolHTTP: j.http} {
		for _, in := range []sidecarapi.Protocol{sidecarapi.ProtocolGRPC, sidecarapi.ProtocolHTTP} {
			t.Run(fmt.Sprintf("in by %s, out by %s", in, out), func(t *testing.T) {
				p := start(t, "NOVAWIRE_BACKEND=jaeger", "NOVAWIRE_ENDPOINT=http://"+address, "NOVAWIRE_PROTOCOL="+string(out),
					"NOVAWIRE_RESOURCE_ATTRIBUTES=service.name=cart,k8s.pod.name=cart-1,k8s.namespace.name=shop,k8s.node.name=node-a")
				app := exec.Command(sdk, "-traces", "3", "-children", "9")
				app.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+p.otlp, "OTEL_EXPORTER_OTLP_PROTOCOL="+string(in))
				output, err := app.CombinedOutput()
				if err != nil {
					t.Fatalf("the application: %v\n%s", err, output)
				}
				entry := p.stop()["traces"]
				if entry.Accepted != 30 || entry.Exported != 30 {
					t.Errorf("accepted %d, exported %d, want 30: %+v", entry.Accepted, entry.Exported, entry)
				}
				for line := range strings.Lines(string(output)) {
					_, trace, _ := strings.Cut(strings.TrimSpace(line), "trace ")
					spans, resource := 0, map[string]string(nil)
					eventually(t, "Jaeger has trace "+trace, func() bool {
						spans, resource = j.find(trace)
						return spans == 10
					})
					maps.DeleteFunc(resource, func(key, _ string) bool {
						return !slices.Contains([]string{"service.name", "k8s.pod.name", "k8s.namespace.name", "k8s.node.name"}, key)
					})
					want := map[string]string{"service.name": "cart", "k8s.pod.name": "cart-1", "k8s.namespace.name": "shop", "k8s.node.name": "node-a"}
					if diff := cmp.Diff(want, resource); diff != "" {
						t.Errorf("resource (-want +got):\n%s", diff)
					}
				}
			})
		}
	}
}
