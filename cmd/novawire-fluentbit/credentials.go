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

// findCredentials is the default chain of AWS's SDK: variables, a web identity
// (IRSA), a container endpoint (Pod Identity), files, the node's role. Whatever
// it finds is looked at when the first request is signed.
func findCredentials(ctx context.Context, c fluentbit.Config) (aws.CredentialsProvider, error) {
	found, err := config.LoadDefaultConfig(ctx, config.WithRegion(c.Region))
	if err != nil || c.Role == "" {
		return found.Credentials, err
	}
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(found), c.Role)), nil
}
