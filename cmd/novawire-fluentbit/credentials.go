//go:build cgo

package main

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/internal/aws/credentials"
)

// findCredentials returns the credentials of the pod, or those of the role that the
// configuration names. The node's role is allowed: Fluent Bit is the node's.
func findCredentials(c fluentbit.Config) (aws.CredentialsProvider, error) {
	return credentials.Find(os.Getenv, credentials.Options{Region: c.Region, Role: c.Role, InstanceRole: true})
}
