package sigv4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// errNone is the error of a pod that was given no credentials.
var errNone = errors.New("no AWS credentials: neither keys, a web identity, a container endpoint nor a credentials file is set")

// Credentials returns the credentials of the pod: keys in the environment, a web
// identity (IRSA), a container endpoint (EKS Pod Identity) or a credentials file, the
// first of them that is set. The metadata service of the node is not asked: its role
// is the node's, not the pod's.
func Credentials(lookup func(name string) (string, bool), client *http.Client) aws.CredentialsProvider {
	env := func(name string) string { value, _ := lookup(name); return value }
	p := pod{env: env, client: client, now: time.Now}
	return aws.NewCredentialsCache(p, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = time.Minute })
}

type pod struct {
	env    func(string) string
	client *http.Client
	now    func() time.Time
}

// Retrieve reads everything again: a rotated key or token needs no restart.
func (p pod) Retrieve(ctx context.Context) (aws.Credentials, error) {
	switch {
	case p.env("AWS_ACCESS_KEY_ID") != "" && p.env("AWS_SECRET_ACCESS_KEY") != "":
		return aws.Credentials{
			AccessKeyID: p.env("AWS_ACCESS_KEY_ID"), SecretAccessKey: p.env("AWS_SECRET_ACCESS_KEY"),
			SessionToken: p.env("AWS_SESSION_TOKEN"), Source: "environment",
		}, nil
	case p.env("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && p.env("AWS_ROLE_ARN") != "":
		return p.webIdentity(ctx)
	case p.env("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return p.container(ctx)
	case p.env("AWS_SHARED_CREDENTIALS_FILE") != "" || p.env("HOME") != "":
		return p.file()
	}
	return aws.Credentials{}, errNone
}

// fileAge is how long a credentials file is used before it is read again.
const fileAge = 5 * time.Minute

func (p pod) file() (aws.Credentials, error) {
	path, profile := p.env("AWS_SHARED_CREDENTIALS_FILE"), p.env("AWS_PROFILE")
	if path == "" {
		path = filepath.Join(p.env("HOME"), ".aws", "credentials")
	}
	if profile == "" {
		profile = "default"
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return aws.Credentials{}, errNone
	} else if err != nil {
		return aws.Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	keys := section(string(text), profile)
	c := aws.Credentials{
		AccessKeyID: keys["aws_access_key_id"], SecretAccessKey: keys["aws_secret_access_key"], SessionToken: keys["aws_session_token"],
		Source: "file", CanExpire: true, Expires: p.now().Add(fileAge),
	}
	if !c.HasKeys() {
		return aws.Credentials{}, fmt.Errorf("read credentials: no keys of profile %q in %s", profile, path)
	}
	return c, nil
}

// fetch does a request for credentials. Its answer never becomes part of an error.
func (p pod) fetch(r *http.Request, from string) ([]byte, error) {
	response, err := p.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("fetch credentials from %s: %w", from, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch credentials from %s: answered %s", from, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 64<<10))
}
