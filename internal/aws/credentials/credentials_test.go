package credentials

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func find(env map[string]string, o Options) (Provider, error) {
	return Find(func(name string) string { return env[name] }, o)
}

func TestFind(t *testing.T) {
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch action := r.FormValue("Action"); {
		case action == "AssumeRoleWithWebIdentity" && strings.TrimSpace(r.FormValue("WebIdentityToken")) == "token" && r.FormValue("RoleArn") == "arn:role":
		case action == "AssumeRole" && r.FormValue("RoleArn") == "arn:other" && strings.Contains(r.Header.Get("Authorization"), "Credential=env/"):
		default:
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		name := r.FormValue("Action")
		_, _ = w.Write([]byte("<" + name + `Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><` + name + `Result><Credentials>
			<AccessKeyId>web</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>
			</Credentials></` + name + "Result></" + name + "Response>"))
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
	for name, c := range map[string]struct {
		env  map[string]string
		role string
		want [3]string
	}{
		"variables come first": {
			map[string]string{"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ROLE_ARN": "x", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"},
			"",
			[3]string{"env", "s", ""},
		},
		"a web identity": {
			map[string]string{"AWS_ROLE_ARN": "arn:role", "AWS_WEB_IDENTITY_TOKEN_FILE": file(t, "token\n"), "AWS_ENDPOINT_URL_STS": sts.URL},
			"",
			[3]string{"web", "s", "t"},
		},
		"a container endpoint, with the token of a file": {
			map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file(t, "pod token")},
			"",
			[3]string{"pod", "s", "t"},
		},
		"a container endpoint, with a token": {
			map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "pod token"},
			"",
			[3]string{"pod", "s", "t"},
		},
		"a credentials file": {
			map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file(t, "[other]\naws_access_key_id=o\n[default]\n# a note\naws_access_key_id = f\naws_secret_access_key = a=b\n")},
			"",
			[3]string{"f", "a=b", ""},
		},
		"a profile of a file": {
			map[string]string{"AWS_PROFILE": "two", "AWS_SHARED_CREDENTIALS_FILE": file(t, "[default]\naws_access_key_id=o\n[ two ]\naws_access_key_id=2\naws_secret_access_key=s\naws_session_token=t\n")},
			"",
			[3]string{"2", "s", "t"},
		},
		"a role that is assumed with what was found": {
			map[string]string{"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_STS": sts.URL},
			"arn:other",
			[3]string{"web", "s", "t"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := find(c.env, Options{Region: "eu-west-1", Role: c.role})
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, [3]string{got.AccessKeyID, got.SecretAccessKey, got.SessionToken}); diff != "" {
				t.Errorf("credentials (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFind_Missing(t *testing.T) {
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.FormValue("WebIdentityToken"), http.StatusForbidden)
	}))
	defer denied.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, env := range map[string]map[string]string{
		"a file without keys":          {"AWS_SHARED_CREDENTIALS_FILE": file(t, "[default]\naws_secret_access_key=s3cret\n")},
		"a file that is not there":     {"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none")},
		"a role that is denied":        {"AWS_ROLE_ARN": "arn:role", "AWS_WEB_IDENTITY_TOKEN_FILE": file(t, "s3cret"), "AWS_ENDPOINT_URL_STS": denied.URL},
		"a container endpoint is away": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": gone.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := find(env, Options{Region: "eu-west-1"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = p.Retrieve(t.Context()); err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error is %v", err)
			}
		})
	}
	for name, c := range map[string]struct {
		env map[string]string
		o   Options
	}{
		"the node's role is not allowed":    {nil, Options{}},
		"the metadata service is forbidden": {map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, Options{InstanceRole: true}},
		"a home without a file":             {map[string]string{"HOME": t.TempDir()}, Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := find(c.env, c.o); !errors.Is(err, ErrNone) {
				t.Errorf("error is %v, want %v", err, ErrNone)
			}
		})
	}
}

func TestFile_ReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	write := func(key string) {
		// Secrets are replaced by renaming, so the file is another one each time.
		content := "[other]\naws_access_key_id = no\n\n[default]\n# ours\naws_access_key_id = " + key + "\naws_secret_access_key = s=cret/+\n"
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	p, err := find(map[string]string{"AWS_SHARED_CREDENTIALS_FILE": path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"first", "second!", "third!!!"} {
		write(key)
		got, err := p.Retrieve(t.Context())
		if err != nil || got.AccessKeyID != key || got.SecretAccessKey != "s=cret/+" {
			t.Errorf("got key %q and error %v, want %q", got.AccessKeyID, err, key)
		}
	}
}
