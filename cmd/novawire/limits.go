package main

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/webhook/inject"
)

// readLimits reads the LimitRanges and ResourceQuotas of a namespace.
func readLimits(ctx context.Context, cluster *kubernetes.Client, namespace string) (*inject.Limits, error) {
	objects := map[string][]byte{}
	if err := addJSON(ctx, cluster, namespace, kubernetes.LimitRanges, "LimitRange", objects); err != nil {
		return nil, err
	}
	if err := addJSON(ctx, cluster, namespace, kubernetes.Quotas, "ResourceQuota", objects); err != nil {
		return nil, err
	}
	return inject.ParseLimits(objects)
}

// addJSON adds the objects of a kind in a namespace as JSON, by KIND/NUMBER.
func addJSON[T any](ctx context.Context, cluster *kubernetes.Client, namespace string, r kubernetes.Resource[T], kind string, objects map[string][]byte) error {
	all, err := r.List(ctx, cluster, namespace, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list %s: %w", r.Resource, err)
	}
	for i := range all {
		raw, err := json.Marshal(&all[i])
		if err != nil {
			return fmt.Errorf("encode %s: %w", kind, err)
		}
		objects[fmt.Sprintf("%s/%d", kind, i)] = raw
	}
	return nil
}
