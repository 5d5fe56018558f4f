package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
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

// answered decodes the response strictly.
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

func assertCounted(t *testing.T, m *Metrics, action inject.Action, reason inject.Reason) {
	t.Helper()
	if n := testutil.ToFloat64(m.decisions.WithLabelValues("pod", string(action), string(reason))); n != 1 {
		t.Errorf("%s for %s was counted %v times", action, reason, n)
	}
}

func TestPods_RespondsWithPatch(t *testing.T) {
	recorder, metrics := serve(t, named, nil, reviewOf(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a"}]}}`))
	response := answered(t, recorder)
	if response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch || !json.Valid(response.Patch) {
		t.Errorf("patch %s", response.Patch)
	}
	assertCounted(t, metrics, inject.Wired, inject.AsAsked)
}

func TestPods_FailsOpen(t *testing.T) {
	t.Run("admits an unreadable pod", func(t *testing.T) {
		recorder, metrics := serve(t, named, nil, reviewOf(`{"spec":{"containers":"none"}}`))
		if response := answered(t, recorder); response.Patch != nil || len(response.Warnings) != 1 {
			t.Errorf("response: %+v", response)
		}
		assertCounted(t, metrics, Failed, UnreadablePod)
	})
	t.Run("admits after a panic", func(t *testing.T) {
		recorder, metrics := serve(t, func(context.Context, string) inject.Namespace { panic("a bug") }, nil, reviewOf(`{}`))
		if response := answered(t, recorder); response.Patch != nil {
			t.Errorf("response: %+v", response)
		}
		assertCounted(t, metrics, Failed, Panicked)
	})
	for name, body := range map[string]string{"no JSON": `{"request":`, "no request": `{}`, "no uid": `{"request":{"object":{}}}`} {
		t.Run("leaves an unreadable review to failurePolicy: "+name, func(t *testing.T) {
			recorder, metrics := serve(t, named, nil, body)
			if recorder.Code != http.StatusBadRequest {
				t.Errorf("status %d: failurePolicy has to decide", recorder.Code)
			}
			assertCounted(t, metrics, Failed, UnreadableReview)
		})
	}
}

func TestPods_RecordsEvents(t *testing.T) {
	pod := `{"metadata":{"annotations":{"inject.nova.dev/protocol":"grcp"},"ownerReferences":[{"kind":"Other","name":"x"},{"kind":"StatefulSet","name":"db","controller":true}]},"spec":{}}`
	var recorded []string
	events := func(owner ObjectReference, reason inject.Reason) {
		recorded = append(recorded, owner.Kind+" "+owner.Name+" "+reason.Event())
	}
	serve(t, named, events, strings.Replace(reviewOf(pod), `"uid"`, `"dryRun":true,"uid"`, 1))
	if len(recorded) > 0 {
		t.Errorf("a dry run recorded %q", recorded)
	}
	serve(t, named, events, reviewOf(pod))
	if len(recorded) != 1 || recorded[0] != "StatefulSet db BadAnnotation" {
		t.Errorf("recorded %q", recorded)
	}
}

func TestPods_CountsIgnoredAnnotations(t *testing.T) {
	config := inject.DefaultConfig()
	config.AllowedOverrides.Pod = []string{injection.AnnotationProtocol}
	engine, err := inject.New(config)
	if err != nil {
		t.Fatal(err)
	}
	metrics := NewMetrics(prometheus.NewRegistry())
	pods := Pods(fixedEngine{engine}, namespaceFunc(named), eventFunc(func(ObjectReference, inject.Reason) {}), metrics)
	review := reviewOf(`{"metadata":{"annotations":{"inject.nova.dev/protocol":"grcp","inject.nova.dev/logs":"none","inject.nova.dev/metrics":"false"}},"spec":{"containers":[{"name":"a"}]}}`)
	for _, body := range []string{review, strings.Replace(review, `"uid"`, `"dryRun":true,"uid"`, 1)} {
		recorder := httptest.NewRecorder()
		pods.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/mutate-pod", strings.NewReader(body)))
		if response := answered(t, recorder); len(response.Warnings) != 3 {
			t.Errorf("warnings %q", response.Warnings)
		}
	}
	for reason, want := range map[inject.Reason]float64{inject.BadAnnotation: 1, inject.NotAllowed: 2} {
		if got := testutil.ToFloat64(metrics.ignored.WithLabelValues("nova", string(reason))); got != want {
			t.Errorf("%s: %v, want %v", reason, got, want)
		}
	}
}

func TestAppendResponse_TruncatesWarnings(t *testing.T) {
	for _, warning := range []string{strings.Repeat("x", 300), strings.Repeat("ü", 200), "short"} {
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(appendResponse(nil, "u-1", response{warnings: []string{warning}}), &review); err != nil {
			t.Fatal(err)
		}
		if got := review.Response.Warnings[0]; len(got) > 256 || !utf8.ValidString(got) {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	}
}

// reader is a fake client with one namespace or an error.
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

func TestCachedNamespaces(t *testing.T) {
	optedIn := map[string]string{injection.LabelWiring: injection.WiringEnabled}
	missing := reader{err: errors.New("not there")}
	current := reader{labels: optedIn, annotations: map[string]string{"a": "current"}}
	stale := reader{annotations: map[string]string{"a": "stale"}}
	for name, c := range map[string]struct {
		cache, live reader
		want        string
		misses      float64
	}{
		"uses the cache":                                    {current, missing, "current", 0},
		"reads a missing namespace live":                    {missing, current, "current", 1},
		"reads an outdated namespace live":                  {stale, current, "current", 1},
		"uses an outdated namespace if the live read fails": {stale, missing, "stale", 1},
		"uses the defaults if everything fails":             {missing, missing, "", 1},
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

// logged runs a review with the default logger set to level debug and returns the
// log records.
func logged(t *testing.T, namespaces namespaceFunc, body string) (records []map[string]any) {
	t.Helper()
	var buffer bytes.Buffer
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&buffer, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(previous)
	serve(t, namespaces, func(ObjectReference, inject.Reason) {}, body)
	for decoder := json.NewDecoder(&buffer); decoder.More(); {
		var record map[string]any
		if err := decoder.Decode(&record); err != nil {
			t.Fatal(err)
		}
		delete(record, "time")
		records = append(records, record)
	}
	return records
}

func TestPods_Logs(t *testing.T) {
	const metadata = `"metadata":{"generateName":"feed-7d9-","labels":{"nova.dev/wiring":"disabled"},"ownerReferences":[{"kind":"ReplicaSet","name":"feed-7d9","uid":"o-1","controller":true}]}`
	object := map[string]any{"webhook": "pod", "review": "u-1", "kind": "", "namespace": "nova", "generateName": "feed-7d9-", "owner": "ReplicaSet/feed-7d9", "ownerUID": "o-1"}
	for name, c := range map[string]struct {
		namespaces namespaceFunc
		body       string
		want       map[string]any
	}{
		"a skipped pod at debug": {named, reviewOf(`{` + metadata + `,"spec":{}}`), map[string]any{"level": "DEBUG", "msg": "admission decided", "action": "skipped", "reason": "opted-out"}},
		"a failure as an error": {
			named, reviewOf(`{` + metadata + `,"spec":{"containers":"none"}}`),
			map[string]any{"level": "ERROR", "msg": "admission failed: the object is admitted unchanged", "reason": "unreadable-pod"},
		},
		"a panic as an error": {
			func(context.Context, string) inject.Namespace { panic("a bug") }, reviewOf(`{` + metadata + `,"spec":{}}`),
			map[string]any{"level": "ERROR", "msg": "admission failed: the object is admitted unchanged", "reason": "panicked"},
		},
		"a rewired pod": {
			named, reviewOf(`{` + strings.Replace(metadata, `"labels":{"nova.dev/wiring":"disabled"}`, `"annotations":{"inject.nova.dev/status":"{\"config\":\"old\"}"}`, 1) + `,"spec":{"containers":[{"name":"a"}]}}`),
			map[string]any{"level": "INFO", "msg": "admission decided", "action": "rewired", "reason": "as-asked"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			records := logged(t, c.namespaces, c.body)
			if len(records) != 1 {
				t.Fatalf("%d records: %v", len(records), records)
			}
			if c.want["level"] == "ERROR" {
				if text, _ := records[0]["error"].(string); text == "" {
					t.Error("no error in the record")
				}
				delete(records[0], "error")
			}
			want := maps.Clone(object)
			maps.Copy(want, c.want)
			if diff := cmp.Diff(want, records[0]); diff != "" {
				t.Error(diff)
			}
		})
	}
}
