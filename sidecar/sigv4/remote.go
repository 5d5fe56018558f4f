package sigv4

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	awsendpoint "github.com/nova/novawire/internal/aws"
)

var errIncomplete = errors.New("the answer holds no keys")

// webIdentity trades the ServiceAccount's token for keys (AWS STS API,
// AssumeRoleWithWebIdentity); the request is not signed.
func (p pod) webIdentity(ctx context.Context) (aws.Credentials, error) {
	token, err := os.ReadFile(p.env("AWS_WEB_IDENTITY_TOKEN_FILE"))
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("read web identity: %w", err)
	}
	session := p.env("AWS_ROLE_SESSION_NAME")
	if session == "" {
		session = "novawire-sidecar"
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {p.env("AWS_ROLE_ARN")}, "RoleSessionName": {session}, "WebIdentityToken": {strings.TrimSpace(string(token))},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.sts(), strings.NewReader(form.Encode()))
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("fetch credentials from STS: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, err := p.fetch(r, "STS")
	if err != nil {
		return aws.Credentials{}, err
	}
	var answer struct {
		Result struct {
			Credentials struct {
				AccessKeyId, SecretAccessKey, SessionToken string //nolint:revive // STS's spelling
				Expiration                                 time.Time
			}
		} `xml:"AssumeRoleWithWebIdentityResult"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return aws.Credentials{}, fmt.Errorf("read credentials of STS: %w", errIncomplete)
	}
	c := answer.Result.Credentials
	return complete(c.AccessKeyId, c.SecretAccessKey, c.SessionToken, c.Expiration, "STS")
}

// sts returns the endpoint of the region, or the one that the SDKs' variable names.
func (p pod) sts() string {
	if endpoint := p.env("AWS_ENDPOINT_URL_STS"); endpoint != "" {
		return endpoint
	}
	for _, name := range []string{"NOVAWIRE_AWS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		if region := p.env(name); region != "" {
			return awsendpoint.Endpoint("sts", region, p.env("AWS_USE_FIPS_ENDPOINT") == "true")
		}
	}
	return "https://sts.amazonaws.com"
}

// container asks the agent of EKS Pod Identity.
func (p pod) container(ctx context.Context) (aws.Credentials, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.env("AWS_CONTAINER_CREDENTIALS_FULL_URI"), nil)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("fetch credentials from the container endpoint: %w", err)
	}
	token := p.env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if path := p.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("read token of the container endpoint: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	body, err := p.fetch(r, "the container endpoint")
	if err != nil {
		return aws.Credentials{}, err
	}
	var answer struct {
		AccessKeyId, SecretAccessKey, Token string //nolint:revive // the endpoint's spelling
		Expiration                          time.Time
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return aws.Credentials{}, fmt.Errorf("read credentials of the container endpoint: %w", errIncomplete)
	}
	return complete(answer.AccessKeyId, answer.SecretAccessKey, answer.Token, answer.Expiration, "the container endpoint")
}

func complete(id, secret, token string, expires time.Time, source string) (aws.Credentials, error) {
	c := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token, Source: source, CanExpire: !expires.IsZero(), Expires: expires}
	if !c.HasKeys() {
		return aws.Credentials{}, fmt.Errorf("read credentials of %s: %w", source, errIncomplete)
	}
	return c, nil
}
