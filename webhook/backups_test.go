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
	"github.com/nova/novawire/webhook/lint"
)

// references is a fake in which only the named objects exist.
type references struct {
	secrets, accounts string
	statefulSets      []metav1.PartialObjectMetadata
	namespaceLabels   map[string]string
	watched           bool // Secrets are
	err               error
}

func (r references) SecretsWatched(context.Context) (bool, error) { return r.watched, r.err }

func (r references) NamespaceLabels(context.Context, string) (map[string]string, error) {
	return r.namespaceLabels, r.err
}

func (r references) HasSecret(_ context.Context, _, name string) (bool, error) {
	return strings.Contains(r.secrets, name), r.err
}

func (r references) HasServiceAccount(_ context.Context, _, name string) (bool, error) {
	return strings.Contains(r.accounts, name), r.err
}

func (r references) StatefulSets(context.Context) ([]metav1.PartialObjectMetadata, error) {
	return r.statefulSets, r.err
}

// postgres returns a StatefulSet "db" with backup annotations, given as pairs.
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

// reviewed sends a review of an object and the old object ("" for none) and returns the response.
func reviewed(t *testing.T, b http.Handler, object, oldObject string) *admissionv1.AdmissionResponse {
	t.Helper()
	body := reviewOf(object)
	if oldObject != "" {
		body = strings.Replace(body, `"operation":"CREATE"`, `"operation":"UPDATE","oldObject":`+oldObject, 1)
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

func backupHandler(r lint.References) (http.Handler, *Metrics) {
	metrics := NewMetrics(prometheus.NewRegistry())
	return Backups(func() backupapi.Request { d, _ := backupapi.ParseDefaults(nil); return d }, r, metrics), metrics
}

var allExist = references{secrets: "postgres-credentials recipients identity aws", accounts: "writer"}

func TestBackups_Refuses(t *testing.T) {
	const schedule = `backup.nova.dev/schedule: "0 25 * * *" is refused: use a cron expression of five fields; minute and hour may be H or H(0-29) (hour "25": "25" is not within 0 to 23)`
	for name, c := range map[string]struct{ object, oldObject, want string }{
		"a bad value":              {enabled("schedule", "0 25 * * *"), "", schedule},
		"an unknown key":           {enabled("retention-day", "3"), "", `backup.nova.dev/retention-day: "3" is refused: use backup.nova.dev/retention-days`},
		"two mistakes in one line": {enabled("schedule", "0 25 * * *", "keep-minimum", "0"), "", schedule + `; backup.nova.dev/keep-minimum: "0" is refused: use a whole number from 1 to 36500 (it is less than 1)`},
		"no bucket and no default bucket": {
			postgres("enabled", "true"), "",
			`backup.nova.dev/bucket: "" is refused: use s3://bucket/prefix, since the configuration names no bucket for all`,
		},
		"a bad value while backup is off": {postgres("enabled", "no"), "", `backup.nova.dev/enabled: "no" is refused: use true, false`},
		"a URL instead of a Secret name, without showing it": {
			enabled("url-secret", "postgres://nova:hunter2@db/nova"), "",
			`backup.nova.dev/url-secret: the value (hidden) is refused: use Secret name/key, or name/user=key,password=key`,
		},
		"a mistake that the change introduces":   {enabled("schedule", "0 25 * * *"), enabled(), schedule},
		"a new bad value in place of an old one": {enabled("schedule", "0 25 * * *"), enabled("schedule", "0 26 * * *"), schedule},
		"a new hidden value in place of an old one": {
			enabled("url-secret", "postgres://nova:two@db/nova"), enabled("url-secret", "postgres://nova:one@db/nova"),
			`backup.nova.dev/url-secret: the value (hidden) is refused: use Secret name/key, or name/user=key,password=key`,
		},
		"backup switched on without a bucket": {
			postgres("enabled", "true"), postgres("enabled", "false"),
			`backup.nova.dev/bucket: "" is refused: use s3://bucket/prefix, since the configuration names no bucket for all`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			handler, metrics := backupHandler(allExist)
			response := reviewed(t, handler, c.object, c.oldObject)
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

func TestBackups_AdmitsOldMistakes(t *testing.T) {
	for name, c := range map[string]struct{ object, oldObject, want string }{
		"an old bad value": {
			enabled("keep-minimum", "0", "retention-days", "9"), enabled("keep-minimum", "0"),
			`novawire: backup.nova.dev/keep-minimum: "0" is refused: use a whole number from 1 to 36500 (it is less than 1)`,
		},
		"an old unknown key":               {enabled("shedule", "x"), enabled("shedule", "x"), `novawire: backup.nova.dev/shedule: "x" is refused: use backup.nova.dev/schedule`},
		"a bucket that was always missing": {postgres("enabled", "true"), postgres("enabled", "true"), `novawire: backup.nova.dev/bucket: "" is refused: use s3://bucket/prefix, since the configuration names no bucket for all`},
	} {
		t.Run(name, func(t *testing.T) {
			handler, metrics := backupHandler(allExist)
			response := reviewed(t, handler, c.object, c.oldObject)
			if diff := cmp.Diff([]string{c.want}, response.Warnings); diff != "" || !response.Allowed {
				t.Errorf("allowed %t, %s", response.Allowed, diff)
			}
			if n := testutil.ToFloat64(metrics.decisions.WithLabelValues("backup", string(Warned), string(Warnings))); n != 1 {
				t.Errorf("counted %v times", n)
			}
		})
	}
}

func TestBackups_Warns(t *testing.T) {
	twin := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "old", Name: "db", Annotations: map[string]string{
		backupapi.AnnotationEnabled: "true", backupapi.AnnotationBucket: "s3://nova/db/",
	}}}
	itself := *twin.DeepCopy()
	itself.Namespace = "nova"
	elsewhere := *twin.DeepCopy()
	elsewhere.Annotations[backupapi.AnnotationS3Endpoint] = "http://s3.old.svc:7070"
	disabled := *twin.DeepCopy()
	disabled.Annotations[backupapi.AnnotationEnabled] = "false"
	none := references{}
	for name, c := range map[string]struct {
		object, oldObject string
		references        references
		want              []string // each a part of one warning
	}{
		"no warning for a good request":                     {enabled(), "", allExist, nil},
		"no warning while backup is off":                    {postgres("retention-days", "1"), "", none, nil},
		"several runs a day on a large volume":              {enabled("schedule", "0 */6 * * *"), "", allExist, []string{"4 runs a day"}},
		"a retention shorter than a weekend":                {enabled("retention-days", "2"), "", allExist, []string{"after 2 days"}},
		"no encryption at an external store":                {enabled("s3-endpoint", "https://s3.eu.example.com"), "", allExist, []string{"leave the cluster unencrypted"}},
		"no encryption and plain HTTP":                      {enabled("s3-endpoint", "http://s3.eu.example.com"), "", allExist, []string{"PLAIN HTTP"}},
		"AWS over plain HTTP":                               {enabled("s3-endpoint", "http://s3.eu-central-1.amazonaws.com"), "", allExist, []string{"PLAIN HTTP"}},
		"no warning for AWS over TLS":                       {enabled("s3-endpoint", "https://s3.eu-central-1.amazonaws.com"), "", allExist, nil},
		"no encryption at a public address":                 {enabled("s3-endpoint", "https://203.0.113.7:9000"), "", allExist, []string{"leave the cluster unencrypted"}},
		"no warning for a private address":                  {enabled("s3-endpoint", "http://10.1.2.3:9000"), "", allExist, nil},
		"no warning for a Service":                          {enabled("s3-endpoint", "http://s3.storage.svc.cluster.local:7070"), "", allExist, nil},
		"no warning for a Service by its short name":        {enabled("s3-endpoint", "http://s3.storage.svc:7070"), "", allExist, nil},
		"no warning for encryption at an external store":    {enabled("s3-endpoint", "http://s3.eu.example.com", "encryption-recipients", "recipients/r", "encryption-identity", "identity/i"), "", allExist, nil},
		"a Secret with a bare password":                     {enabled("url-secret", "postgres-credentials/postgres-password"), "", allExist, []string{"seems to hold a password alone"}},
		"no warning about a Secret with a URL":              {enabled("url-secret", "postgres-credentials/password-url"), "", allExist, nil},
		"drills without the identity":                       {enabled("encryption-recipients", "recipients/r"), "", allExist, []string{"every drill will fail"}},
		"no warning without drills":                         {enabled("encryption-recipients", "recipients/r", "drill-schedule", "never"), "", allExist, nil},
		"a missing Secret and ServiceAccount":               {enabled("aws-secret", "aws", "service-account", "writer"), "", none, []string{"Secret postgres-credentials does not exist", "Secret aws does not exist", "ServiceAccount writer does not exist"}},
		"no warning if a look-up fails":                     {enabled("service-account", "writer"), "", references{err: errors.New("forbidden"), statefulSets: []metav1.PartialObjectMetadata{twin}}, nil},
		"no look-up for an unchanged request":               {enabled("status", "{}"), enabled(), none, nil},
		"a location that another StatefulSet uses":          {enabled(), "", references{secrets: allExist.secrets, statefulSets: []metav1.PartialObjectMetadata{itself, disabled, twin}}, []string{"StatefulSet db in namespace old"}},
		"no warning for the same location in another store": {enabled(), "", references{secrets: allExist.secrets, statefulSets: []metav1.PartialObjectMetadata{elsewhere}}, nil},
		"no look-up for a single run":                       {enabled("run", "7"), enabled("run", "6"), none, nil},
		"no warning for the StatefulSet's own location":     {enabled(), "", references{secrets: allExist.secrets, statefulSets: []metav1.PartialObjectMetadata{itself, disabled}}, nil},
		"backup switched off":                               {postgres(), enabled(), none, []string{"no more backups are made; existing backups stay in s3://nova/db"}},
		"warnings beside a refusal":                         {enabled("retention-days", "2", "keep-minimum", "0"), "", allExist, []string{"after 2 days"}},
		"a missing Secret beside a refusal":                 {enabled("keep-minimum", "0"), "", none, []string{"Secret postgres-credentials does not exist"}},
	} {
		t.Run(name, func(t *testing.T) {
			handler, _ := backupHandler(c.references)
			warnings := reviewed(t, handler, c.object, c.oldObject).Warnings
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

func TestBackups_FailsOpen(t *testing.T) {
	counted := func(t *testing.T, m *Metrics, reason inject.Reason) {
		t.Helper()
		if n := testutil.ToFloat64(m.decisions.WithLabelValues("backup", string(Failed), string(reason))); n != 1 {
			t.Errorf("%s was counted %v times", reason, n)
		}
	}
	t.Run("admits an unreadable StatefulSet", func(t *testing.T) {
		handler, metrics := backupHandler(allExist)
		response := reviewed(t, handler, `{"metadata":{"annotations":[]}}`, "")
		if !response.Allowed || len(response.Warnings) != 1 || !strings.HasPrefix(response.Warnings[0], "novawire: backup not checked: decode StatefulSet: ") {
			t.Errorf("%+v", response)
		}
		counted(t, metrics, UnreadableStatefulSet)
	})
	t.Run("admits after a panic", func(t *testing.T) {
		metrics := NewMetrics(prometheus.NewRegistry())
		handler := Backups(func() backupapi.Request { panic("a bug") }, allExist, metrics)
		if response := reviewed(t, handler, enabled("schedule", "no"), ""); !response.Allowed {
			t.Errorf("%+v", response)
		}
		counted(t, metrics, Panicked)
	})
	t.Run("admits a StatefulSet that is being deleted", func(t *testing.T) {
		handler, _ := backupHandler(allExist)
		going := strings.Replace(enabled("schedule", "no"), `"name":"db"`, `"name":"db","deletionTimestamp":"2026-11-22T01:00:00Z"`, 1)
		if response := reviewed(t, handler, going, enabled()); !response.Allowed || len(response.Warnings) > 0 {
			t.Errorf("%+v", response)
		}
	})
}
