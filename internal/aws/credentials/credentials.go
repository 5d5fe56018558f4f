// Package credentials finds AWS credentials where programs in clusters have them, by
// one chain for every program of the product: variables, a web identity (IRSA), a
// mounted or shared file, a container endpoint (EKS Pod Identity, ECS), the node's role.
// The providers are the SDK's. The chain is not: the SDK's own configuration package
// would be a third of pg-backup, and it does not read a mounted file again that has
// changed.
package credentials

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// MountedFile is where a pod's Secret with credentials is mounted.
const MountedFile = "/var/aws/credentials"

// ErrNone is the error of a pod that was given no credentials.
var ErrNone = errors.New("no AWS credentials: neither keys, a web identity, a credentials file nor a container endpoint is set")

// Provider returns credentials and can be told that they have expired.
type Provider interface {
	aws.CredentialsProvider
	// Invalidate makes the next Retrieve ask again.
	Invalidate()
}

// Options are what the programs differ in.
type Options struct {
	Region string // of STS; us-east-1 if empty
	// Role is assumed with the credentials that the chain finds; none if empty.
	Role string
	// InstanceRole allows the node's role, from its metadata service, as the last
	// resort. A sidecar has no business with the rights of its node.
	InstanceRole bool
	// HTTPClient sends the requests to STS and to the container endpoint; the SDK's if nil.
	HTTPClient aws.HTTPClient
}

// Find returns the first provider of the chain that the environment, which getenv
// reads, has settings for. It returns [ErrNone] if there is none.
func Find(getenv func(string) string, o Options) (Provider, error) {
	c := chain{getenv: getenv, Options: o}
	found, err := c.find()
	if err != nil || o.Role == "" {
		return found, err
	}
	return cached(stscreds.NewAssumeRoleProvider(c.sts(found), o.Role)), nil
}

type chain struct {
	Options
	getenv func(string) string
}

func (c chain) find() (Provider, error) {
	if id, secret := c.getenv("AWS_ACCESS_KEY_ID"), c.getenv("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		return cached(sdk.NewStaticCredentialsProvider(id, secret, c.getenv("AWS_SESSION_TOKEN"))), nil
	}
	if token, role := c.getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), c.getenv("AWS_ROLE_ARN"); token != "" && role != "" {
		return cached(stscreds.NewWebIdentityRoleProvider(c.sts(nil), role, stscreds.IdentityTokenFile(token), func(o *stscreds.WebIdentityRoleOptions) {
			o.RoleSessionName = c.getenv("AWS_ROLE_SESSION_NAME")
		})), nil
	}
	if path := sharedFile(c.getenv); path != "" {
		return &File{Path: path, Profile: or(c.getenv("AWS_PROFILE"), "default")}, nil
	}
	if uri := containerEndpoint(c.getenv); uri != "" {
		return c.container(uri), nil
	}
	if !c.InstanceRole || c.getenv("AWS_EC2_METADATA_DISABLED") == "true" {
		return nil, ErrNone
	}
	return cached(ec2rolecreds.New()), nil
}

// sts returns a client of the region's STS, in the region's partition, signed with
// credentials if there are any. AssumeRoleWithWebIdentity needs none.
func (c chain) sts(credentials aws.CredentialsProvider) *sts.Client {
	o := sts.Options{Region: or(c.Region, "us-east-1"), Credentials: credentials, HTTPClient: c.HTTPClient}
	if c.getenv("AWS_USE_FIPS_ENDPOINT") == "true" {
		o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if endpoint := c.getenv("AWS_ENDPOINT_URL_STS"); endpoint != "" {
		o.BaseEndpoint = &endpoint
	}
	return sts.New(o)
}

func cached(p aws.CredentialsProvider) Provider {
	return aws.NewCredentialsCache(p, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = time.Minute })
}

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

func (c chain) container(uri string) Provider {
	return cached(endpointcreds.New(uri, func(o *endpointcreds.Options) {
		if c.HTTPClient != nil {
			o.HTTPClient = c.HTTPClient
		}
		o.AuthorizationToken = c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if path := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
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
