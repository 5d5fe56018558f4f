package aws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func TestEndpoint(t *testing.T) {
	cases := []struct {
		service, region string
		fips            bool
		want            string
	}{
		{"xray", "eu-west-1", false, "https://xray.eu-west-1.amazonaws.com"},
		{"xray", "us-gov-west-1", false, "https://xray.us-gov-west-1.amazonaws.com"},
		{"xray", "cn-north-1", false, "https://xray.cn-north-1.amazonaws.com.cn"},
		{"xray", "eusc-de-east-1", false, "https://xray.eusc-de-east-1.amazonaws.eu"},
		{"logs", "us-iso-east-1", false, "https://logs.us-iso-east-1.c2s.ic.gov"},
		{"logs", "us-isob-east-1", false, "https://logs.us-isob-east-1.sc2s.sgov.gov"},
		{"logs", "us-isof-south-1", false, "https://logs.us-isof-south-1.csp.hci.ic.gov"},
		{"logs", "eu-isoe-west-1", false, "https://logs.eu-isoe-west-1.cloud.adc-e.uk"},
		{"monitoring", "us-east-1", true, "https://monitoring-fips.us-east-1.amazonaws.com"},
		{"sts", "cn-north-1", true, "https://sts-fips.cn-north-1.amazonaws.com.cn"},
	}
	for _, c := range cases {
		if got := Endpoint(c.service, c.region, c.fips); got != c.want {
			t.Errorf("Endpoint(%q, %q, %v): got %s, want %s", c.service, c.region, c.fips, got, c.want)
		}
	}
}

// The SDK's own resolver is the reference: it is internal to each service's client,
// and there is none for X-Ray's OTLP endpoint.
func TestEndpoint_AgreesWithTheSDK(t *testing.T) {
	for _, region := range []string{
		"us-east-1", "us-west-2", "eu-central-1", "ap-southeast-7", "mx-central-1", "il-central-1", "us-gov-west-1", "us-gov-east-1",
		"cn-north-1", "cn-northwest-1", "eusc-de-east-1", "us-iso-east-1", "us-iso-west-1", "us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1",
	} {
		logs, err := cloudwatchlogs.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), cloudwatchlogs.EndpointParameters{Region: &region, UseFIPS: aws.Bool(false), UseDualStack: aws.Bool(false)})
		if err != nil {
			t.Fatal(err)
		}
		if got := Endpoint("logs", region, false); got != logs.URI.String() {
			t.Errorf("logs in %s: %s, the SDK has %s", region, got, logs.URI.String())
		}
		tokens, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), sts.EndpointParameters{Region: &region, UseFIPS: aws.Bool(false), UseDualStack: aws.Bool(false), UseGlobalEndpoint: aws.Bool(false)})
		if err != nil {
			t.Fatal(err)
		}
		if got := Endpoint("sts", region, false); got != tokens.URI.String() {
			t.Errorf("sts in %s: %s, the SDK has %s", region, got, tokens.URI.String())
		}
	}
	for _, region := range []string{"us-east-1", "us-west-2", "ca-central-1"} {
		logs, err := cloudwatchlogs.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), cloudwatchlogs.EndpointParameters{Region: &region, UseFIPS: aws.Bool(true), UseDualStack: aws.Bool(false)})
		if err != nil {
			t.Fatal(err)
		}
		if got := Endpoint("logs", region, true); got != logs.URI.String() {
			t.Errorf("logs with FIPS in %s: %s, the SDK has %s", region, got, logs.URI.String())
		}
	}
}
