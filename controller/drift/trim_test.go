package drift

import (
	"fmt"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTrim(t *testing.T) {
	env := []corev1.EnvVar{
		{Name: "PASSWORD", Value: "secret"},
		{Name: "OTEL_SERVICE_NAME", Value: "feed"},
		{Name: "LISTEN", Value: ":4317"},
		{Name: "NOVAWIRE_POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
	}
	pod := func(name string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "a": fmt.Sprint("b", len(name))}},
			Spec: corev1.PodSpec{
				Volumes:    []corev1.Volume{{Name: "v"}},
				Containers: []corev1.Container{{Name: "app", Command: []string{"serve"}, Env: env}},
			},
		}
	}
	one, two := Trim(pod("pod-1")), Trim(pod("pod-2"))
	c := one.Spec.Containers[0]
	if len(one.Annotations) != 1 || one.Spec.Volumes != nil || c.Command != nil {
		t.Errorf("more than admission reads: %+v", one)
	}
	if len(c.Env) != 3 || c.Env[0].Name != "OTEL_SERVICE_NAME" || c.Env[1].Value != ":4317" || c.Env[2].ValueFrom == nil {
		t.Errorf("variables: %+v", c.Env)
	}
	if a, b := one.Annotations["a"], two.Annotations["a"]; unsafe.StringData(a) != unsafe.StringData(b) {
		t.Error("two pods keep the same value twice")
	}
}

func TestInterner(t *testing.T) {
	i := interner{known: map[string]string{}}
	for n := range 3 * maxInterned {
		if got := i.one(fmt.Sprint(n)); got != fmt.Sprint(n) {
			t.Fatalf("%d became %s", n, got)
		}
	}
	if len(i.known) > maxInterned {
		t.Errorf("%d strings are kept", len(i.known))
	}
	if i.all(nil) != nil {
		t.Error("no labels became an empty map")
	}
}
