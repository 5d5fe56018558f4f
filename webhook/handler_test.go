package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/webhook/inject"
)

type fixedEngine struct{ engine *inject.Engine }

func (e fixedEngine) Engine() *inject.Engine { return e.engine }

type namespaceFunc func(ctx context.Context, name string) inject.Namespace

func (f namespaceFunc) Namespace(ctx context.Context, name string) inject.Namespace {
	return f(ctx, name)
}

type eventFunc func(owner ObjectReference, reason inject.Reason)

func (f eventFunc) Warn(_ string, owner ObjectReference, reason inject.Reason, _ string) {
	f(owner, reason)
}

func named(_ context.Context, name string) inject.Namespace { return inject.Namespace{Name: name} }

func serve(t *testing.T, namespaces namespaceFunc, events eventFunc, body string) (*httptest.ResponseRecorder, *Metrics) {
	t.Helper()
	engine, err := inject.New(inject.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	metrics := NewMetrics(prometheus.NewRegistry())
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/mutate-pod", strings.NewReader(body))
	Pods(fixedEngine{engine}, namespaces, events, metrics).ServeHTTP(recorder, request)
	return recorder, metrics
}

func reviewOf(object string) string {
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","namespace":"nova","operation":"CREATE","object":` + object + `}}`
}

// answered reads the answer as the API server does.
func answered(t *testing.T, recorder *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	var review admissionv1.AdmissionReview
	decoder := json.NewDecoder(recorder.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&review); err != nil || review.Response == nil {
		t.Fatalf("answer %d: %v", recorder.Code, err)
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != "admission.k8s.io/v1" || review.Response.UID != "u-1" || !review.Response.Allowed {
		t.Errorf("answer: %+v", review)
	}
	return review.Response
}

func counted(t *testing.T, m *Metrics, action inject.Action, reason inject.Reason) {
	t.Helper()
	if n := testutil.ToFloat64(m.decisions.WithLabelValues("pod", string(action), string(reason))); n != 1 {
		t.Errorf("%s for %s was counted %v times", action, reason, n)
	}
}

func TestAWiredPodIsAnsweredWithAPatch(t *testing.T) {
	recorder, metrics := serve(t, named, nil, reviewOf(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a"}]}}`))
	response := answered(t, recorder)
	if response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch || !json.Valid(response.Patch) {
		t.Errorf("patch %s", response.Patch)
	}
	counted(t, metrics, inject.Wired, inject.AsAsked)
}

func TestWhateverGoesWrongThePodIsAdmitted(t *testing.T) {
	t.Run("the pod cannot be read", func(t *testing.T) {
		recorder, metrics := serve(t, named, nil, reviewOf(`{"spec":{"containers":"none"}}`))
		if response := answered(t, recorder); response.Patch != nil || len(response.Warnings) != 1 {
			t.Errorf("response: %+v", response)
		}
		counted(t, metrics, Failed, UnreadablePod)
	})
	t.Run("something panics", func(t *testing.T) {
		recorder, metrics := serve(t, func(context.Context, string) inject.Namespace { panic("a bug") }, nil, reviewOf(`{}`))
		if response := answered(t, recorder); response.Patch != nil {
			t.Errorf("response: %+v", response)
		}
		counted(t, metrics, Failed, Panicked)
	})
	for name, body := range map[string]string{"no JSON": `{"request":`, "no request": `{}`, "no uid": `{"request":{"object":{}}}`} {
		t.Run("the review cannot be read: "+name, func(t *testing.T) {
			recorder, metrics := serve(t, named, nil, body)
			if recorder.Code != http.StatusBadRequest {
				t.Errorf("status %d: failurePolicy has to decide", recorder.Code)
			}
			counted(t, metrics, Failed, UnreadableReview)
		})
	}
}

func TestAnEventIsForTheControllerAndNotForADryRun(t *testing.T) {
	pod := `{"metadata":{"annotations":{"inject.nova.dev/protocol":"grcp"},"ownerReferences":[{"kind":"Other","name":"x"},{"kind":"StatefulSet","name":"db","controller":true}]},"spec":{}}`
	var told []string
	events := func(owner ObjectReference, reason inject.Reason) {
		told = append(told, owner.Kind+" "+owner.Name+" "+reason.Event())
	}
	serve(t, named, events, strings.Replace(reviewOf(pod), `"uid"`, `"dryRun":true,"uid"`, 1))
	if len(told) > 0 {
		t.Errorf("a dry run told %q", told)
	}
	serve(t, named, events, reviewOf(pod))
	if len(told) != 1 || told[0] != "StatefulSet db BadAnnotation" {
		t.Errorf("told %q", told)
	}
}

func TestAWarningStaysWithinTheLimitAndIsText(t *testing.T) {
	for _, long := range []string{strings.Repeat("x", 300), strings.Repeat("ü", 200), "short"} {
		if short := shorten(long); len(short) > 256 || !utf8.ValidString(short) {
			t.Errorf("%d bytes: %q", len(short), short)
		}
	}
}

// reader is a client that knows one namespace, or none.
type reader struct {
	client.Reader
	labels      map[string]string
	annotations map[string]string
	err         error
}

func (r reader) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	o.SetLabels(r.labels)
	o.SetAnnotations(r.annotations)
	return r.err
}

func TestANamespaceIsNeverTheReasonForAnUnwiredPod(t *testing.T) {
	optedIn := map[string]string{injection.LabelWiring: injection.WiringEnabled}
	missing := reader{err: errors.New("not there")}
	current := reader{labels: optedIn, annotations: map[string]string{"a": "current"}}
	stale := reader{annotations: map[string]string{"a": "stale"}}
	for name, c := range map[string]struct {
		cache, live reader
		want        string
		misses      float64
	}{
		"in the cache":                       {current, missing, "current", 0},
		"not in the cache yet":               {missing, current, "current", 1},
		"in the cache as it was before":      {stale, current, "current", 1},
		"stale, and not to be had in time":   {stale, missing, "stale", 1},
		"nowhere to be had: the defaults do": {missing, missing, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			metrics := NewMetrics(prometheus.NewRegistry())
			ns := (&CachedNamespaces{Cache: c.cache, Live: c.live, Metrics: metrics}).Namespace(t.Context(), "nova")
			if ns.Name != "nova" || ns.Annotations["a"] != c.want || testutil.ToFloat64(metrics.misses) != c.misses {
				t.Errorf("%+v after %v misses", ns, testutil.ToFloat64(metrics.misses))
			}
		})
	}
}
