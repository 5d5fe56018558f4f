package main

import (
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestWebhookPort(t *testing.T) {
	port := func(name string, number int32) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Name: &name, Port: &number}
	}
	for name, c := range map[string]struct {
		ports []discoveryv1.EndpointPort
		want  int32
	}{
		"the named one, in whatever order":       {[]discoveryv1.EndpointPort{port("metrics", 8080), port("webhook", 10250)}, 10250},
		"the only one, whatever its name":        {[]discoveryv1.EndpointPort{port("", 443)}, 443},
		"none of several without the name":       {[]discoveryv1.EndpointPort{port("metrics", 8080), port("https", 10250)}, 0},
		"none of a Service that has none":        {nil, 0},
		"none where the number is not yet known": {[]discoveryv1.EndpointPort{{}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := webhookPort(c.ports); got != c.want {
				t.Errorf("port %d, want %d", got, c.want)
			}
		})
	}
}
