package webhook

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/nova/novawire/webhook/inject"
)

type unencodable struct{ *corev1.LimitRange }

func (unencodable) MarshalJSON() ([]byte, error) { return nil, errors.New("no JSON") }

func TestCachedLimits(t *testing.T) {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "nova", Name: name} }
	amount := func(text string) corev1.ResourceList {
		return corev1.ResourceList{"requests.memory": resource.MustParse(text)}
	}
	quota := func(used string) *corev1.ResourceQuota {
		return &corev1.ResourceQuota{ObjectMeta: meta("same"), Status: corev1.ResourceQuotaStatus{Hard: amount("1Gi"), Used: amount(used)}}
	}
	maximum := &corev1.LimitRange{ObjectMeta: meta("same"), Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")},
	}}}}
	engine, err := inject.New(inject.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	var c CachedLimits
	h := c.Handler()
	shows := func(when string, want inject.Reason) {
		t.Helper()
		result, err := engine.Pod([]byte(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"app"}]}}`), inject.Namespace{Name: "nova", Limits: c.Namespace("nova")})
		if err != nil {
			t.Fatal(err)
		}
		got := inject.Reason("")
		for _, n := range result.Notes {
			if n.Reason == inject.RefusedByLimitRange || n.Reason == inject.RefusedByQuota {
				got = n.Reason
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	shows("nothing is known", "")
	h.OnAdd(quota("0"), true)
	shows("a quota with room", "")
	h.OnUpdate(quota("0"), quota("1Gi"))
	shows("the quota is used up", inject.RefusedByQuota)
	h.OnAdd(maximum, false)
	shows("a LimitRange of the same name", inject.RefusedByLimitRange)
	h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "nova/same", Obj: maximum})
	shows("the LimitRange is gone", inject.RefusedByQuota)
	h.OnDelete(quota("1Gi"))
	shows("both are gone", "")
	if c.Namespace("nova") != nil || len(c.objects) > 0 {
		t.Errorf("a namespace without limits is kept: %v", c.objects)
	}
	h.OnAdd(maximum, false)
	h.OnDelete(&unencodable{maximum})
	shows("the deleted object cannot be encoded", "")
	h.OnAdd(&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "a"}, Spec: maximum.Spec}, false)
	shows("another namespace has limits", "")
	if (*CachedLimits)(nil).Namespace("nova") != nil {
		t.Error("no cache has limits")
	}
}
