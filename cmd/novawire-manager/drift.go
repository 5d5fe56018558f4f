package main

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/nova/novawire/controller/drift"
	"github.com/nova/novawire/webhook/inject"
)

// driftEngine lets the drift controller decide with the engine of admission.
type driftEngine struct {
	engine *inject.Engine
}

// State implements [drift.Engine].
func (e driftEngine) State(pod *corev1.Pod, annotations map[string]string) (drift.State, error) {
	raw, err := json.Marshal(pod)
	if err != nil {
		return drift.State{}, fmt.Errorf("encode the pod: %w", err)
	}
	s, err := e.engine.State(raw, inject.Namespace{Name: pod.Namespace, Annotations: annotations})
	if err != nil {
		return drift.State{}, err
	}
	return drift.State{PodState: s.PodState, Reason: s.Reason.Event(), Message: s.String(), Act: s.Reason.Level() >= inject.Act}, nil
}

// Hash implements [drift.Engine].
func (e driftEngine) Hash(namespace string) string { return e.engine.HashIn(namespace) }
