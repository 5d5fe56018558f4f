//go:build e2e

// Package e2e tests the product on a cluster as a black box: it applies objects as a
// user does and checks what the cluster makes of them. `make e2e` provides the
// cluster; E2E_KUBECONFIG names another one.
//
// Each test creates its own namespace ([inNamespace]) and runs in parallel. Tests that
// disturb the webhook do not run in parallel; they run first, one by one.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/e2e-framework/klient"
	"sigs.k8s.io/e2e-framework/klient/conf"
	"sigs.k8s.io/e2e-framework/klient/wait"
	"sigs.k8s.io/e2e-framework/klient/wait/conditions"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
)

// Where the product is installed.
const (
	systemNamespace = "novawire-system"
	webhookName     = "novawire"
)

var testenv env.Environment

func TestMain(m *testing.M) {
	kubeconfig := os.Getenv("E2E_KUBECONFIG")
	if kubeconfig == "" {
		fmt.Fprintln(os.Stderr, "e2e: E2E_KUBECONFIG is not set; run `make e2e`, which creates a cluster and sets it")
		os.Exit(1)
	}
	client, err := connect(kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	testenv = env.NewWithConfig(envconf.New().WithKubeconfigFile(kubeconfig).WithClient(client))
	if os.Getenv(variableRelease) == "" { // TestRelease installs by itself
		testenv.Setup(waitForWebhook)
	}
	os.Exit(testenv.Run(m))
}

// connect raises client-go's limit of five requests per second, because tests run in
// parallel.
func connect(kubeconfig string) (klient.Client, error) {
	config, err := conf.New(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	return klient.New(config)
}

func waitForWebhook(ctx context.Context, config *envconf.Config) (context.Context, error) {
	available := conditions.New(config.Client().Resources()).
		DeploymentConditionMatch(deployment(systemNamespace, webhookName), appsv1.DeploymentAvailable, "True")
	if err := wait.For(available, wait.WithTimeout(2*time.Minute), wait.WithImmediate(), wait.WithInterval(time.Second)); err != nil {
		return ctx, fmt.Errorf("wait for the webhook: %w", err)
	}
	return ctx, nil
}
