// Package telemetry reads the account of the cluster's telemetry, which the manager keeps,
// and derives what people ask: what was lost, and what it costs.
package telemetry

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/internal/kubernetes"
)

// Report is the account of the services of a namespace, or of the cluster.
type Report struct {
	Services []Service `json:"services"`
	// PricePerGB is what a backend charges for 10^9 bytes of OTLP; 0: it is not known.
	PricePerGB float64 `json:"price_per_gb,omitempty"`
}

// Service is the account of a service, with what is derived of it.
type Service struct {
	ledgerapi.Service
	// Loss is the share of accepted items that will not arrive, from 0 to 1: dropped ones, and
	// those that sidecars held when they were killed.
	Loss float64 `json:"loss"`
	// Share is that of the service in the exported bytes of all, from 0 to 1.
	Share float64 `json:"share"`
	Cost  float64 `json:"cost,omitempty"`
}

// Read reads the account. The system namespace is that of the manager; the namespace is "" for
// all. The shares are those in the cluster.
func Read(ctx context.Context, c *kubernetes.Client, system, namespace string, pricePerGB float64) (Report, error) {
	var accounts []*ledgerapi.Account
	for i := range ledgerapi.Shards {
		name := ledgerapi.ShardName(i)
		stored, err := kubernetes.ConfigMaps.Get(ctx, c, system, name)
		if apierrors.IsNotFound(err) {
			stored, err = &corev1.ConfigMap{}, nil // no pod of it has ended yet
		}
		if err != nil {
			return Report{}, fmt.Errorf("read ConfigMap %s/%s: %w", system, name, err)
		}
		a, err := ledgerapi.Decode(stored.BinaryData[ledgerapi.Key])
		if err != nil {
			return Report{}, fmt.Errorf("ConfigMap %s/%s: %w", system, name, err)
		}
		accounts = append(accounts, a)
	}
	return derive(ledgerapi.Report(accounts...), namespace, pricePerGB), nil
}

// bytesOfGB is what backends charge by.
const bytesOfGB = 1e9

func derive(all []ledgerapi.Service, namespace string, pricePerGB float64) Report {
	var bytes float64
	for _, s := range all {
		bytes += float64(s.Total().ExportedBytes)
	}
	r := Report{Services: []Service{}, PricePerGB: pricePerGB}
	for _, s := range all {
		if namespace != "" && s.Namespace != namespace {
			continue
		}
		total := s.Total()
		derived := Service{Service: s, Cost: float64(total.ExportedBytes) / bytesOfGB * pricePerGB}
		if total.Accepted > 0 {
			derived.Loss = float64(total.Lost()) / float64(total.Accepted)
		}
		if bytes > 0 {
			derived.Share = float64(total.ExportedBytes) / bytes
		}
		r.Services = append(r.Services, derived)
	}
	return r
}
