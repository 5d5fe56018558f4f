package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/webhook/inject"
)

// referents knows what is named here, and nothing else.
type referents struct {
	secrets, accounts string
	statefulSets      []metav1.PartialObjectMetadata
	err               error
}

func (r referents) HasSecret(_ context.Context, _, name string) (bool, error) {
	return strings.Contains(r.secrets, name), r.err
}

func (r referents) HasServiceAccount(_ context.Context, _, name string) (bool, error) {
	return strings.Contains(r.accounts, name), r.err
}

func (r referents) StatefulSets(context.Context) ([]metav1.PartialObjectMetadata, error) {
	return r.statefulSets, r.err
}

// postgres is a StatefulSet "db" with annotations of backup.
func postgres(annotations ...string) string {
	pairs := map[string]string{}
	for i := 0; i < len(annotations); i += 2 {
		pairs[backupapi.AnnotationPrefix+annotations[i]] = annotations[i+1]
	}
	text, _ := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": "db", "namespace": "nova", "annotations": pairs},
		"spec": map[string]any{"volumeClaimTemplates": []any{map[string]any{
			"metadata": map[string]any{"name": "data"},
			"spec":     map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": "100Gi"}}},
		}}},
	})
	return string(text)
}

func enabled(annotations ...string) string {
	return postgres(append([]string{"enabled", "true", "bucket", "s3://nova/db"}, annotations...)...)
}

// reviewed sends a review of an object, and of what it was before ("" for none).
func reviewed(t *testing.T, b http.Handler, now, before string) *admissionv1.AdmissionResponse {
	t.Helper()
	body := reviewOf(now)
	if before != "" {
		body = strings.Replace(body, `"operation":"CREATE"`, `"operation":"UPDATE","oldObject":`+before, 1)
	}
	recorder := httptest.NewRecorder()
	b.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/validate-backup", strings.NewReader(body)))
	var review admissionv1.AdmissionReview
	decoder := json.NewDecoder(recorder.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&review); err != nil || review.Response == nil || review.Response.UID != "u-1" {
		t.Fatalf("answer %d: %v", recorder.Code, err)
	}
	return review.Response
}

func backupHandler(r Referents) (http.Handler, *Metrics) {
	metrics := NewMetrics(prometheus.NewRegistry())
	return Backups(func() backupapi.Request { d, _ := backupapi.ParseDefaults(nil); return d }, r, metrics), metrics
}

var allThere = referents{secrets: "postgres-credentials recipients identity aws", accounts: "writer"}

func TestAMistakeInWhatIsAskedOfBackupIsRefused(t *testing.T) {
	const schedule = `backup.nova.dev/schedule: "0 25 * * *" is refused: use a cron expression of five fields; minute and hour may be H or H(0-29) (hour "25": "25" is not within 0 to 23)`
	for name, c := range map[string]struct{ now, before, want string }{
		"a bad value":               {enabled("schedule", "0 25 * * *"), "", schedule},
		"a key that is none":        {enabled("retention-day", "3"), "", `backup.nova.dev/retention-day: "3" is refused: use backup.nova.dev/retention-days`},
		"two mistakes, in one line": {enabled("schedule", "0 25 * * *", "keep-minimum", "0"), "", schedule + `; backup.nova.dev/keep-minimum: "0" is refused: use a whole number from 1 to 36500`},
		"no bucket, and none for all": {
			postgres("enabled", "true"), "",
			`backup.nova.dev/bucket: "" is refused: use s3://bucket/prefix, since the configuration names no bucket for all`,
		},
		"a bad value, while backup is off": {postgres("enabled", "no"), "", `backup.nova.dev/enabled: "no" is refused: use true, false`},
		"a URL where its Secret is asked for is not repeated": {
			enabled("url-secret", "postgres://nova:hunter2@db/nova"), "",
			`backup.nova.dev/url-secret: the value (hidden) is refused: use Secret name/key`,
		},
		"a mistake that a change brings along":       {enabled("schedule", "0 25 * * *"), enabled(), schedule},
		"another mistake in the place of an old one": {enabled("schedule", "0 25 * * *"), enabled("schedule", "0 26 * * *"), schedule},
		"another hidden one in the place of an old one": {
			enabled("url-secret", "postgres://nova:two@db/nova"), enabled("url-secret", "postgres://nova:one@db/nova"),
			`backup.nova.dev/url-secret: the value (hidden) is refused: use Secret name/key`,
		},
		"switched on without a bucket": {
			postgres("enabled", "true"), postgres("enabled", "false"),
			`backup.nova.dev/bucket: "" is refused: use s3://bucket/prefix, since the configuration names no bucket for all`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			handler, metrics := backupHandler(allThere)
			response := reviewed(t, handler, c.now, c.before)
			if response.Allowed || response.Result == nil {
				t.Fatalf("allowed: %+v", response)
			}
			if response.Result.Code != http.StatusUnprocessableEntity || response.Result.Reason != metav1.StatusReasonInvalid {
				t.Errorf("status %+v", response.Result)
			}
			if diff := cmp.Diff(c.want, response.Result.Message); diff != "" {
				t.Error(diff)
			}
			if n := testutil.ToFloat64(metrics.decisions.WithLabelValues("backup", string(Refused), string(BadBackup))); n != 1 {
				t.Errorf("counted %v times", n)
			}
		})
	}
}

func TestAnOldMistakeHoldsUpNoChange(t *testing.T) {
	for name, c := range map[string]struct{ now, before, want string }{
		"a bad value that was there": {
			enabled("keep-minimum", "0", "retention-days", "9"), enabled("keep-minimum", "0"),
			`novawire: backup.nova.dev/keep-minimum: "0" is refused: use a whole number from 1 to 36500`,
		},
		"a key that was there":        {enabled("shedule", "x"), enabled("shedule", "x"), `novawire: backup.nova.dev/shedule: "x" is refused: use backup.nova.dev/schedule`},
		"a bucket that never was one": {postgres("enabled", "true"), postgres("enabled", "true"), `novawire: backup.nova.dev/bucket: "" is refused: use s3://bucket/prefix, since the configuration names no bucket for all`},
	} {
		t.Run(name, func(t *testing.T) {
			handler, metrics := backupHandler(allThere)
			response := reviewed(t, handler, c.now, c.before)
			if diff := cmp.Diff([]string{c.want}, response.Warnings); diff != "" || !response.Allowed {
				t.Errorf("allowed %t, %s", response.Allowed, diff)
			}
			if n := testutil.ToFloat64(metrics.decisions.WithLabelValues("backup", string(Warned), string(Warnings))); n != 1 {
				t.Errorf("counted %v times", n)
			}
		})
	}
}

func TestWhatIsUnwiseIsWarnedAbout(t *testing.T) {
	twin := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "old", Name: "db", Annotations: map[string]string{
		backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://nova/db/",
	}}}
	itself := *twin.DeepCopy()
	itself.Namespace = "nova"
	elsewhere := *twin.DeepCopy()
	elsewhere.Annotations[backupapi.AnnotationS3Endpoint] = "http://s3.old.svc:7070"
	disabled := *twin.DeepCopy()
	disabled.Annotations[backupapi.AnnotationEnabled] = "false"
	none := referents{}
	for name, c := range map[string]struct {
		now, before string
		referents   referents
		want        []string // what each warning has
	}{
		"nothing is wrong":                                       {enabled(), "", allThere, nil},
		"nothing is asked":                                       {postgres("retention-days", "1"), "", none, nil},
		"a schedule more than daily on a big volume":             {enabled("schedule", "0 */6 * * *"), "", allThere, []string{"4 runs a day"}},
		"a retention that a weekend outlasts":                    {enabled("retention-days", "2"), "", allThere, []string{"after 2 days"}},
		"nothing encrypted at somebody else's":                   {enabled("s3-endpoint", "https://s3.eu.example.com"), "", allThere, []string{"nothing is encrypted"}},
		"nothing encrypted on the way either":                    {enabled("s3-endpoint", "http://s3.eu.example.com"), "", allThere, []string{"PLAIN HTTP"}},
		"AWS by name, over plain HTTP":                           {enabled("s3-endpoint", "http://s3.eu-central-1.amazonaws.com"), "", allThere, []string{"PLAIN HTTP"}},
		"AWS by name":                                            {enabled("s3-endpoint", "https://s3.eu-central-1.amazonaws.com"), "", allThere, nil},
		"a public address":                                       {enabled("s3-endpoint", "https://203.0.113.7:9000"), "", allThere, []string{"nothing is encrypted"}},
		"a private address":                                      {enabled("s3-endpoint", "http://10.1.2.3:9000"), "", allThere, nil},
		"a Service":                                              {enabled("s3-endpoint", "http://s3.storage.svc.cluster.local:7070"), "", allThere, nil},
		"a Service, in short":                                    {enabled("s3-endpoint", "http://s3.storage.svc:7070"), "", allThere, nil},
		"encrypted at somebody else's":                           {enabled("s3-endpoint", "http://s3.eu.example.com", "encryption-recipients", "recipients/r", "encryption-identity", "identity/i"), "", allThere, nil},
		"drills that cannot read":                                {enabled("encryption-recipients", "recipients/r"), "", allThere, []string{"every drill will fail"}},
		"no drills":                                              {enabled("encryption-recipients", "recipients/r", "drill-schedule", "never"), "", allThere, nil},
		"a Secret and a ServiceAccount that are not there":       {enabled("aws-secret", "aws", "service-account", "writer"), "", none, []string{"no Secret postgres-credentials", "no Secret aws", "no ServiceAccount writer"}},
		"what cannot be looked up":                               {enabled("service-account", "writer"), "", referents{err: errors.New("forbidden"), statefulSets: []metav1.PartialObjectMetadata{twin}}, nil},
		"what was asked before is not looked up again":           {enabled("status", "{}"), enabled(), none, nil},
		"another server's place":                                 {enabled(), "", referents{secrets: allThere.secrets, statefulSets: []metav1.PartialObjectMetadata{itself, disabled, twin}}, []string{"StatefulSet db in namespace old"}},
		"a place of that name in another store":                  {enabled(), "", referents{secrets: allThere.secrets, statefulSets: []metav1.PartialObjectMetadata{elsewhere}}, nil},
		"a run now, which needs nothing new":                     {enabled("run", "7"), enabled("run", "6"), none, nil},
		"its own place":                                          {enabled(), "", referents{secrets: allThere.secrets, statefulSets: []metav1.PartialObjectMetadata{itself, disabled}}, nil},
		"backup that is switched off":                            {postgres(), enabled(), none, []string{"no backup is made from now on; those that were made stay in s3://nova/db"}},
		"the warnings of what is refused are not lost with it":   {enabled("retention-days", "2", "keep-minimum", "0"), "", allThere, []string{"after 2 days"}},
		"the missing Secret of what is refused is told likewise": {enabled("keep-minimum", "0"), "", none, []string{"no Secret postgres-credentials"}},
	} {
		t.Run(name, func(t *testing.T) {
			handler, _ := backupHandler(c.referents)
			warnings := reviewed(t, handler, c.now, c.before).Warnings
			if len(warnings) != len(c.want) {
				t.Fatalf("warnings: %q, want %q", warnings, c.want)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(warnings[i], "novawire: ") || !strings.Contains(warnings[i], want) {
					t.Errorf("%q has no %q", warnings[i], want)
				}
			}
		})
	}
}

func TestWhateverGoesWrongTheStatefulSetIsAdmitted(t *testing.T) {
	counted := func(t *testing.T, m *Metrics, reason inject.Reason) {
		t.Helper()
		if n := testutil.ToFloat64(m.decisions.WithLabelValues("backup", string(Failed), string(reason))); n != 1 {
			t.Errorf("%s was counted %v times", reason, n)
		}
	}
	t.Run("it cannot be read", func(t *testing.T) {
		handler, metrics := backupHandler(allThere)
		response := reviewed(t, handler, `{"metadata":{"annotations":[]}}`, "")
		if !response.Allowed || len(response.Warnings) != 1 || !strings.HasPrefix(response.Warnings[0], "novawire: backup not checked: read StatefulSet: ") {
			t.Errorf("%+v", response)
		}
		counted(t, metrics, UnreadableStatefulSet)
	})
	t.Run("something panics", func(t *testing.T) {
		metrics := NewMetrics(prometheus.NewRegistry())
		handler := Backups(func() backupapi.Request { panic("a bug") }, allThere, metrics)
		if response := reviewed(t, handler, enabled("schedule", "no"), ""); !response.Allowed {
			t.Errorf("%+v", response)
		}
		counted(t, metrics, Panicked)
	})
	t.Run("it is being deleted", func(t *testing.T) {
		handler, _ := backupHandler(allThere)
		going := strings.Replace(enabled("schedule", "no"), `"name":"db"`, `"name":"db","deletionTimestamp":"2026-11-22T01:00:00Z"`, 1)
		if response := reviewed(t, handler, going, enabled()); !response.Allowed || len(response.Warnings) > 0 {
			t.Errorf("%+v", response)
		}
	})
}
