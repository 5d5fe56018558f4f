package sigv4

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lookup(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := pairs[name]
		return value, ok
	}
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCredentials(t *testing.T) {
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") != "AssumeRoleWithWebIdentity" || r.FormValue("WebIdentityToken") != "token" || r.FormValue("RoleArn") != "arn:role" {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>
			<AccessKeyId>web</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>
			</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`))
	}))
	defer sts.Close()
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "pod token" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"AccessKeyId":"pod","SecretAccessKey":"s","Token":"t","Expiration":"2100-01-01T00:00:00Z"}`))
	}))
	defer agent.Close()
	cases := map[string]struct {
		env  map[string]string
		want [3]string
	}{
		"keys in the environment": {map[string]string{"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ROLE_ARN": "x"}, [3]string{"env", "s", ""}},
		"a web identity": {
			map[string]string{"AWS_ROLE_ARN": "arn:role", "AWS_WEB_IDENTITY_TOKEN_FILE": file(t, "token\n"), "AWS_ENDPOINT_URL_STS": sts.URL},
			[3]string{"web", "s", "t"},
		},
		"the agent of the node": {
			map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file(t, "pod token")},
			[3]string{"pod", "s", "t"},
		},
		"a credentials file": {
			map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file(t, "[other]\naws_access_key_id=o\n[default]\n# a note\naws_access_key_id = f\naws_secret_access_key = a=b\n")},
			[3]string{"f", "a=b", ""},
		},
		"a profile of it": {
			map[string]string{"AWS_PROFILE": "two", "AWS_SHARED_CREDENTIALS_FILE": file(t, "[default]\naws_access_key_id=o\n[ two ]\naws_access_key_id=2\naws_secret_access_key=s\naws_session_token=t\n")},
			[3]string{"2", "s", "t"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Credentials(lookup(c.env), http.DefaultClient).Retrieve(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, [3]string{got.AccessKeyID, got.SecretAccessKey, got.SessionToken}); diff != "" {
				t.Errorf("credentials (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCredentials_Missing(t *testing.T) {
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.FormValue("WebIdentityToken"), http.StatusForbidden)
	}))
	defer denied.Close()
	cases := map[string]map[string]string{
		"nothing is set":        {},
		"no file":               {"HOME": t.TempDir()},
		"a file without keys":   {"AWS_SHARED_CREDENTIALS_FILE": file(t, "[default]\naws_secret_access_key=s3cret\n")},
		"a role that is denied": {"AWS_ROLE_ARN": "a", "AWS_WEB_IDENTITY_TOKEN_FILE": file(t, "s3cret"), "AWS_ENDPOINT_URL_STS": denied.URL},
		"an agent that is away": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "s3cret"},
	}
	for name, env := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Credentials(lookup(env), http.DefaultClient).Retrieve(context.Background())
			if err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error is %v", err)
			}
			if len(env) == 0 && !errors.Is(err, errNone) {
				t.Errorf("error is %v, want %v", err, errNone)
			}
		})
	}
}
