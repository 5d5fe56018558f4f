// Package aws knows where AWS's services are: one table for all programs.
package aws

import "strings"

// partitions are the DNS suffixes of AWS's partitions, by the prefix of their regions
// (botocore's and the SDKs' partitions.json).
var partitions = []struct{ prefix, suffix string }{
	{"cn-", "amazonaws.com.cn"},
	{"eusc-", "amazonaws.eu"},
	{"us-isob-", "sc2s.sgov.gov"},
	{"us-isof-", "csp.hci.ic.gov"},
	{"us-iso-", "c2s.ic.gov"},
	{"eu-isoe-", "cloud.adc-e.uk"},
}

// Suffix returns the DNS suffix of the region's partition.
func Suffix(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.suffix
		}
	}
	return "amazonaws.com"
}

// Endpoint returns the URL of a service in a region, without a trailing slash. fips
// asks for the endpoint with validated cryptography, as AWS_USE_FIPS_ENDPOINT does.
func Endpoint(service, region string, fips bool) string {
	if fips {
		service += "-fips"
	}
	return "https://" + service + "." + region + "." + Suffix(region)
}
