// Package cluster gives the tests of a package a real kube-apiserver and etcd: one
// pair for each test process, started by the first test that calls [Config] and
// stopped by [Run]. There is no kubelet, scheduler or controller.
//
//	func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }
//
//	func TestSomething(t *testing.T) { config := cluster.Config(t) … }
package cluster

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// assets names the folder that holds kube-apiserver and etcd.
const assets = "KUBEBUILDER_ASSETS"

var (
	environment envtest.Environment
	started     bool
	start       = sync.OnceValues(func() (*rest.Config, error) {
		started = true
		return environment.Start()
	})
)

// Run runs a package's tests and stops the servers that they started.
func Run(m *testing.M) int {
	code := m.Run()
	if started {
		if err := environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the test cluster:", err)
			return max(code, 1)
		}
	}
	return code
}

// Config returns the administrator's client configuration, as a copy for the caller.
// If the servers are missing, the test is skipped; in CI it fails.
func Config(tb testing.TB) *rest.Config {
	tb.Helper()
	prerequisite.Path(tb, assets, "kubernetes")
	config, err := start()
	if err != nil {
		tb.Fatalf("start the test cluster: %v", err)
	}
	return rest.CopyConfig(config)
}

// Kubeconfig returns the configuration as a kubeconfig file.
func Kubeconfig(tb testing.TB, config *rest.Config) []byte {
	tb.Helper()
	text, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"test": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		CurrentContext: "test",
	})
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
