package resources

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	backupapi "github.com/nova/novawire/api/backup"
)

// Validate returns every mistake with the path of its key.
func (c Config) Validate() error {
	var mistakes []error
	wrong := func(path, format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf(path+": "+format, args...))
	}
	if _, refusals := backupapi.ParseDefaults(c.Defaults); len(refusals) > 0 {
		for _, refusal := range refusals {
			wrong("defaults", "%w", refusal)
		}
	}
	if err := c.AllowedOverrides.Validate(); err != nil {
		wrong("allowedOverrides", "%w", err)
	}
	if c.Image == "" || strings.ContainsAny(c.Image, " \t\n") {
		wrong("image", "%q is not an image reference", c.Image)
	}
	if !slices.Contains([]corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, c.ImagePullPolicy) {
		wrong("imagePullPolicy", "%q: use Always, IfNotPresent or Never", c.ImagePullPolicy)
	}
	if u, err := url.Parse(c.TelemetryEndpoint); c.TelemetryEndpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		wrong("telemetryEndpoint", "%q: use an http or https URL", c.TelemetryEndpoint)
	}
	for key, cidrs := range map[string][]string{
		"network.storeCIDRs": c.Network.StoreCIDRs, "network.dnsCIDRs": c.Network.DNSCIDRs, "network.credentialCIDRs": c.Network.CredentialCIDRs,
	} {
		for _, cidr := range cidrs {
			if _, _, err := net.ParseCIDR(cidr); err != nil {
				wrong(key, "%q: use a range such as 10.0.0.0/8", cidr)
			}
		}
	}
	for _, port := range c.Network.DatabasePorts {
		if port < 1 || port > 65535 {
			wrong("network.databasePorts", "%d: use a port from 1 to 65535", port)
		}
	}
	if c.Scratch.Medium != corev1.StorageMediumDefault && c.Scratch.Medium != corev1.StorageMediumMemory {
		wrong("scratch.medium", "%q: use \"\" or Memory", c.Scratch.Medium)
	}
	if c.Scratch.Minimum.Sign() <= 0 {
		wrong("scratch.minimum", "%q: use a quantity such as 1Gi", c.Scratch.Minimum.String())
	}
	mistakes = append(mistakes, c.validateEnv()...)
	for key, value := range c.Pod.Labels {
		for _, problem := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...) {
			wrong("pod.labels."+key, "%s", problem)
		}
	}
	for key := range c.Pod.Annotations {
		for _, problem := range validation.IsQualifiedName(strings.ToLower(key)) {
			wrong("pod.annotations."+key, "%s", problem)
		}
	}
	if name := c.Pod.PriorityClassName; name != "" && len(validation.IsDNS1123Subdomain(name)) > 0 {
		wrong("pod.priorityClassName", "%q: use the name of a PriorityClass", name)
	}
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(mistakes...)
}

// validateEnv checks env by pg-backup's rules. Settings with an annotation of their own
// and secrets are refused.
func (c Config) validateEnv() (mistakes []error) {
	known := map[string]backupapi.Variable{}
	for _, v := range backupapi.Environment() {
		known[v.Name] = v
	}
	for name, value := range c.Env {
		v, ok := known[name]
		switch {
		case !ok && !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "OTEL_"):
			mistakes = append(mistakes, fmt.Errorf("env.%s: pg-backup has no such variable", name))
		case v.Secret || strings.HasPrefix(name, "AWS_SECRET") || name == "AWS_SESSION_TOKEN" || name == "AWS_ACCESS_KEY_ID":
			mistakes = append(mistakes, fmt.Errorf("env.%s: a secret must not be in the configuration: use the Secret that the annotation names", name))
		case ok && slices.Contains(reservedVariables, name):
			mistakes = append(mistakes, fmt.Errorf("env.%s: use the annotation, or defaults", name))
		case ok:
			if err := v.Check(value); err != nil {
				mistakes = append(mistakes, fmt.Errorf("env.%w", err))
			}
		}
	}
	return mistakes
}

// reservedVariables are the variables that annotations and the controller set.
var reservedVariables = []string{
	backupapi.EnvDatabaseURL, backupapi.EnvServerAddress, backupapi.EnvConnectionSecret, backupapi.EnvDatabases, backupapi.EnvExcludeDatabases, backupapi.EnvExcludeTableData, backupapi.EnvS3Bucket, backupapi.EnvS3Endpoint, backupapi.EnvAWSRegion,
	backupapi.EnvRetentionDays, backupapi.EnvKeepMinimum, backupapi.EnvParallelism, backupapi.EnvDeadline, backupapi.EnvEncryptionFile,
	backupapi.EnvIdentityFile, backupapi.EnvSigningKeyFile, backupapi.EnvVerifyKeyFile, backupapi.EnvRunBy,
	backupapi.EnvCopyBucket, backupapi.EnvCopyEndpoint, backupapi.EnvCopyRegion, backupapi.EnvCopyCredentials, backupapi.EnvCopyRetentionDays,
	backupapi.EnvScratchDirectory, backupapi.EnvCloudWatchNamespace, backupapi.EnvTerminationPath,
}
