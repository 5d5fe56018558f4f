package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// reviewKind sends a review of a Secret or Service.
func reviewKind(t *testing.T, r references, kind, object, oldObject string) *admissionv1.AdmissionResponse {
	t.Helper()
	handler, _ := backupHandler(r)
	body := strings.Replace(reviewOf(object), `"uid":"u-1"`, `"uid":"u-1","kind":{"group":"","version":"v1","kind":"`+kind+`"}`, 1)
	if oldObject != "" {
		body = strings.Replace(body, `"operation":"CREATE"`, `"operation":"UPDATE","oldObject":`+oldObject, 1)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/validate-backup", strings.NewReader(body)))
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &review); err != nil || review.Response == nil {
		t.Fatalf("%v: %s", err, recorder.Body)
	}
	return review.Response
}

const secretValue = "hunter2-very-secret"

// secret returns a Secret whose keys all have the same value, except for engine=VALUE.
func secret(keys string, labels map[string]string, annotations ...string) string {
	data := map[string]string{}
	for _, key := range strings.Fields(keys) {
		name, value, ok := strings.Cut(key, "=")
		if !ok {
			value = secretValue
		}
		data[name] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	given := map[string]string{}
	for i := 0; i < len(annotations); i += 2 {
		given[backupapi.AnnotationPrefix+annotations[i]] = annotations[i+1]
	}
	text, _ := json.Marshal(map[string]any{"metadata": map[string]any{"name": "rds", "labels": labels, "annotations": given}, "data": data})
	return string(text)
}

var requested = []string{"enabled", "true", "bucket", "s3://nova/db"}

func TestBackups_SecretsAndServices(t *testing.T) {
	var logged bytes.Buffer
	defaults := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(defaults) })
	watched := references{watched: true, secrets: "pg-app"}
	complete := "username password host port dbname engine=postgres"
	zalando := map[string]string{"application": "spilo", "cluster-name": "pg"}
	for name, c := range map[string]struct {
		kind, object, oldObject string
		references              references
		refused                 string
		warnings                []string
	}{
		"a Secret of AWS Secrets Manager":                 {"Secret", secret(complete, nil, requested...), "", watched, "", nil},
		"a Secret with a URL":                             {"Secret", secret("uri", nil, requested...), "", watched, "", nil},
		"a Secret of the Zalando operator":                {"Secret", secret("username password", zalando, requested...), "", watched, "", nil},
		"a Secret without a host":                         {"Secret", secret("username password", nil, requested...), "", watched, "", []string{"every run will fail: the Secret has no key host or endpoint"}},
		"a Secret without anything":                       {"Secret", secret("", nil, requested...), "", watched, "", []string{"no key username or user, password, host or endpoint"}},
		"a Secret that names other keys":                  {"Secret", secret("DB_URL", nil, append([]string{"url-secret", "pg-app/DB_URL"}, requested...)...), "", watched, "", nil},
		"a Secret that nobody watches":                    {"Secret", secret(complete, nil, requested...), "", references{}, "", []string{"no backup is scheduled: the manager has no right to watch Secrets"}},
		"a Secret of MySQL is refused":                    {"Secret", secret("username password host engine=mysql", nil, requested...), "", watched, `the Secret's engine is "mysql", not PostgreSQL`, nil},
		"a Secret of MySQL, as before":                    {"Secret", secret("username password host engine=mysql", nil, requested...), secret("username password host engine=mysql", nil, requested...), watched, "", []string{`engine is "mysql"`}},
		"a Secret with a bad value":                       {"Secret", secret(complete, nil, append([]string{"schedule", "tonight"}, requested...)...), "", watched, "backup.nova.dev/schedule", nil},
		"a Secret without a bucket":                       {"Secret", secret(complete, nil, "enabled", "true"), "", watched, "backup.nova.dev/bucket", nil},
		"a Secret that is switched off says nothing":      {"Secret", secret("", nil, "enabled", "false"), "", references{}, "", nil},
		"a Secret whose backup ends":                      {"Secret", secret(complete, nil), secret(complete, nil, requested...), watched, "", []string{"no more backups are made; existing backups stay in s3://nova/db"}},
		"a Service without a login is refused":            {"Service", postgres(requested...), "", watched, "a Service names no login", nil},
		"a Service with a login":                          {"Service", postgres(append([]string{"url-secret", "pg-app/user=username,password=password"}, requested...)...), "", watched, "", nil},
		"a Service whose Secret does not exist":           {"Service", postgres(append([]string{"url-secret", "missing/url"}, requested...)...), "", references{watched: true}, "", []string{"Secret missing does not exist"}},
		"a Service needs no right to watch Secrets":       {"Service", postgres(append([]string{"url-secret", "pg-app/url"}, requested...)...), "", references{secrets: "pg-app"}, "", nil},
		"a Secret's engine that is not base64 is ignored": {"Secret", strings.Replace(secret(complete, nil, requested...), base64.StdEncoding.EncodeToString([]byte("postgres")), "!", 1), "", watched, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			response := reviewKind(t, c.references, c.kind, c.object, c.oldObject)
			text, _ := json.Marshal(response)
			if response.Allowed != (c.refused == "") || c.refused != "" && !strings.Contains(response.Result.Message, c.refused) {
				t.Errorf("allowed %t: %s", response.Allowed, text)
			}
			if len(response.Warnings) != len(c.warnings) {
				t.Fatalf("warnings %q, want %q", response.Warnings, c.warnings)
			}
			for i, want := range c.warnings {
				if !strings.Contains(response.Warnings[i], want) {
					t.Errorf("warning %q, want %q", response.Warnings[i], want)
				}
			}
			encoded := base64.StdEncoding.EncodeToString([]byte(secretValue))
			for _, text := range []string{string(text), logged.String()} {
				if strings.Contains(text, secretValue) || strings.Contains(text, encoded) {
					t.Errorf("a value of the Secret is in %s", text)
				}
			}
		})
	}
	t.Run("an unreadable Secret is admitted, and nothing of it is shown", func(t *testing.T) {
		response := reviewKind(t, watched, "Secret", `{"metadata":{"name":"x","annotations":{"a":"b"}},"data":{"password":"`+secretValue+`"},"spec":3}`, "")
		text, _ := json.Marshal(response)
		if !response.Allowed || strings.Contains(string(text)+logged.String(), secretValue) {
			t.Errorf("%s\n%s", text, logged.String())
		}
	})
}
