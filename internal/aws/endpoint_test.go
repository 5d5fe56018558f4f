package aws

import "testing"

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
