//go:build cgo

package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/nova/novawire/fluentbit"
)

// findCredentials returns the default chain of the AWS SDK: environment
// variables, a web identity (IRSA), a container endpoint (Pod Identity), files,
// the node's role. The chain is resolved when the first request is signed.
func findCredentials(ctx context.Context, c fluentbit.Config) (aws.CredentialsProvider, error) {
	sdk, err := config.LoadDefaultConfig(ctx, config.WithRegion(c.Region))
	if err != nil || c.Role == "" {
		return sdk.Credentials, err
	}
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(sdk), c.Role)), nil
}
