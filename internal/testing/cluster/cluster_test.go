package cluster_test

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

func TestConfig(t *testing.T) {
	c, err := client.New(cluster.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var namespace corev1.Namespace
	if err := c.Get(t.Context(), client.ObjectKey{Name: "default"}, &namespace); err != nil {
		t.Fatal(err)
	}
}
