// Package kubernetes reads and writes the objects of a cluster with client-go's dynamic
// client and returns them as Go types. The command line and the audit use it. The
// typed clients of client-go and of controller-runtime link every API group with its
// OpenAPI schemas: 170 and 340 packages more, which everyone who runs `go run
// ./cmd/novawire` would have to compile (ADR 0005).
package kubernetes

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Client is a connection to an API server.
type Client struct {
	dynamic  dynamic.Interface
	metadata metadata.Interface
	core     rest.Interface // of /api/v1: what pods serve
}

// New returns a client. It does not connect yet.
func New(config *rest.Config) (*Client, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	only, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	version := schema.GroupVersion{Version: "v1"}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, version)
	v1 := rest.CopyConfig(config)
	v1.APIPath, v1.GroupVersion = "/api", &version
	v1.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	core, err := rest.RESTClientFor(v1)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &Client{objects, only, core}, nil
}

// LogOptions select a part of a container's log.
type LogOptions struct {
	Follow bool
	Since  time.Time // zero for all
}

// Log opens the log of a container.
func (c *Client) Log(ctx context.Context, namespace, pod, container string, o LogOptions) (io.ReadCloser, error) {
	request := c.core.Get().Namespace(namespace).Resource("pods").Name(pod).SubResource("log").Param("container", container)
	if o.Follow {
		request.Param("follow", "true")
	}
	if !o.Since.IsZero() {
		request.Param("sinceTime", o.Since.UTC().Format(time.RFC3339))
	}
	return request.Stream(ctx)
}

// ProxyURL returns the URL of a path of a pod, through the API server.
func (c *Client) ProxyURL(namespace, pod, scheme, port, path string) string {
	return c.core.Get().Namespace(namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%s:%s", scheme, pod, port)).SubResource("proxy").Suffix(path).URL().String()
}

// PortForwardURL returns the URL that forwards ports to a pod.
func (c *Client) PortForwardURL(namespace, pod string) *url.URL {
	return c.core.Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
}
