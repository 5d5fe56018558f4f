package resource

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

func TestComplete(t *testing.T) {
	ours := attributes{{"service.name", "cart"}, {"k8s.pod.name", "cart-1"}}
	cases := map[string]struct{ has, want map[string]any }{
		"an empty resource":            {nil, map[string]any{"service.name": "cart", "k8s.pod.name": "cart-1"}},
		"a resource with its own name": {map[string]any{"service.name": "checkout"}, map[string]any{"service.name": "checkout", "k8s.pod.name": "cart-1"}},
		"the placeholder of an SDK":    {map[string]any{"service.name": "unknown_service:java"}, map[string]any{"service.name": "cart", "k8s.pod.name": "cart-1"}},
		"keeps an empty value":         {map[string]any{"k8s.pod.name": ""}, map[string]any{"service.name": "cart", "k8s.pod.name": ""}},
		"a placeholder of another key": {map[string]any{"k8s.pod.name": "unknown_service"}, map[string]any{"service.name": "cart", "k8s.pod.name": "unknown_service"}},
		"keeps attributes of others":   {map[string]any{"host.id": int64(7)}, map[string]any{"service.name": "cart", "k8s.pod.name": "cart-1", "host.id": int64(7)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			resource := pcommon.NewMap()
			if err := resource.FromRaw(c.has); err != nil {
				t.Fatal(err)
			}
			ours.complete(resource)
			if diff := cmp.Diff(c.want, resource.AsRaw()); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
		})
	}
}
