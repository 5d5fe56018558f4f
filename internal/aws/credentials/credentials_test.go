package credentials

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestAMountedFileThatChangesIsReadAgain(t *testing.T) {
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
	p := provider(t, map[string]string{"AWS_SHARED_CREDENTIALS_FILE": path})
	for _, key := range []string{"first", "second!", "third!!!"} {
		write(key)
		got, err := p.Retrieve(t.Context())
		if err != nil || got.AccessKeyID != key || got.SecretAccessKey != "s=cret/+" {
			t.Errorf("got key %q and error %v, want %q", got.AccessKeyID, err, key)
		}
	}
}

func TestContainerEndpointIsAskedWithItsToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "from-the-file" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"AccessKeyId":"pod","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}`))
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("from-the-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := provider(t, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token})
	got, err := p.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "pod" {
		t.Errorf("got %q and error %v", got.AccessKeyID, err)
	}
}

func TestVariablesComeFirst(t *testing.T) {
	p := provider(t, map[string]string{
		"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s",
		"AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	})
	if got, err := p.Retrieve(t.Context()); err != nil || got.AccessKeyID != "env" {
		t.Errorf("got %q and error %v", got.AccessKeyID, err)
	}
}

func TestNoCredentialsIsAnError(t *testing.T) {
	_, err := Find(func(name string) string { return map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}[name] }, "eu-west-1")
	if err == nil {
		t.Error("found some")
	}
}

func provider(t *testing.T, env map[string]string) Provider {
	t.Helper()
	p, err := Find(func(name string) string { return env[name] }, "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
