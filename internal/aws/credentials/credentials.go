// Package credentials finds AWS credentials where programs in clusters have
// them: variables, a web identity (IRSA), a mounted file, a container endpoint
// (Pod Identity, ECS), an instance's role. It is a small part of what the SDK's
// own configuration does, which would be a third of the program's size, and it
// does one thing that the SDK does not: a mounted file that changes is read again.
package credentials

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// MountedFile is where a pod's Secret with credentials is mounted.
const MountedFile = "/var/aws/credentials"

// Provider gives credentials and can be told that they expired.
type Provider interface {
	aws.CredentialsProvider
	// Invalidate makes the next Retrieve ask again.
	Invalidate()
}

// Find chooses a provider from the environment, which getenv reads.
func Find(getenv func(string) string, region string) (Provider, error) {
	if id, secret := getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		return cached(sdk.NewStaticCredentialsProvider(id, secret, getenv("AWS_SESSION_TOKEN"))), nil
	}
	if token, role := getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), getenv("AWS_ROLE_ARN"); token != "" && role != "" {
		client := sts.New(sts.Options{Region: region})
		return cached(stscreds.NewWebIdentityRoleProvider(client, role, stscreds.IdentityTokenFile(token))), nil
	}
	if path := sharedFile(getenv); path != "" {
		return &File{Path: path, Profile: or(getenv("AWS_PROFILE"), "default")}, nil
	}
	if uri := containerEndpoint(getenv); uri != "" {
		return containerProvider(uri, getenv), nil
	}
	if getenv("AWS_EC2_METADATA_DISABLED") == "true" {
		return nil, errors.New("find AWS credentials: none in variables, a file or a container endpoint")
	}
	return cached(ec2rolecreds.New()), nil
}

func cached(p aws.CredentialsProvider) Provider { return aws.NewCredentialsCache(p) }

func sharedFile(getenv func(string) string) string {
	if path := getenv("AWS_SHARED_CREDENTIALS_FILE"); path != "" {
		return path
	}
	for _, path := range []string{MountedFile, filepath.Join(getenv("HOME"), ".aws", "credentials")} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// containerEndpoint follows the variables that ECS and EKS Pod Identity set.
func containerEndpoint(getenv func(string) string) string {
	if path := getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); path != "" {
		return "http://169.254.170.2" + path
	}
	return getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
}

func containerProvider(uri string, getenv func(string) string) Provider {
	return cached(endpointcreds.New(uri, func(o *endpointcreds.Options) {
		if token := getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"); token != "" {
			o.AuthorizationToken = token
		}
		if path := getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				token, err := os.ReadFile(path)
				return string(token), err
			})
		}
	}))
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// compile-time: a file is a provider too.
var _ Provider = (*File)(nil)

// Retrieve implements [aws.CredentialsProvider].
func (f *File) Retrieve(context.Context) (aws.Credentials, error) { return f.read() }
