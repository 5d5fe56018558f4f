package main

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/diagnosis"
	"github.com/nova/novawire/webhook/inject"
)

// state compares a pod with the configuration. A pod that cannot be read counts as missing.
func (in *installation) state(pod *corev1.Pod, ns *metav1.PartialObjectMetadata) inject.State {
	raw, err := json.Marshal(pod)
	if err != nil {
		return inject.State{PodState: injection.PodMissing, Detail: err.Error()}
	}
	state, err := in.engine.State(raw, inject.Namespace{Name: ns.Name, Annotations: ns.Annotations})
	if err != nil {
		return inject.State{PodState: injection.PodMissing, Detail: err.Error()}
	}
	return state
}

// drifted explains a pod that the webhook has wired, but not as it would now. It returns
// nil for all others.
func drifted(s inject.State, p diagnosis.Programs, namespace, pod string, owner workload.Owner) *diagnosis.Finding {
	if s.PodState != injection.PodStale && s.PodState != injection.PodChanged {
		return nil
	}
	f := &diagnosis.Finding{Cause: diagnosis.Cause(s.Reason), Text: s.Reason.Text()}
	if s.Detail != "" {
		f.Text += ": " + s.Detail
	}
	if command := p.Restart(namespace, pod, owner); command != "" {
		f.Commands = []string{command}
	}
	return f
}
