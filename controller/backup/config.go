package backup

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	backupapi "github.com/nova/novawire/api/backup"
)

// Config is what users write about backup; it is the same for every StatefulSet.
type Config struct {
	// Defaults are backup.nova.dev annotations for every StatefulSet. Its
	// bucket is a root: each StatefulSet gets a folder NAMESPACE/NAME of its own.
	Defaults map[string]string `json:"defaults"`
	// Image is pg-backup's: an init container installs the program from it.
	Image           string            `json:"image"`
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy"`
	// Resources are a backup's, DrillResources those of a drill, in which a
	// whole PostgreSQL runs.
	Resources      corev1.ResourceRequirements `json:"resources"`
	DrillResources corev1.ResourceRequirements `json:"drillResources"`
	// TelemetryEndpoint takes OTLP over HTTP, usually on port 4318; "" sends none.
	TelemetryEndpoint string `json:"telemetryEndpoint"`
	// CloudWatchNamespace is where metrics go; "none" sends none.
	CloudWatchNamespace string `json:"cloudWatchNamespace"`
	// ServiceAccountAnnotations are those of the ServiceAccount that is made
	// where a StatefulSet names none, say eks.amazonaws.com/role-arn.
	ServiceAccountAnnotations map[string]string `json:"serviceAccountAnnotations"`
	// Env are more of pg-backup's variables, by name, for every Job.
	Env     map[string]string `json:"env"`
	Network Network           `json:"network"`
	Scratch Scratch           `json:"scratch"`
}

// Network shapes the NetworkPolicies.
type Network struct {
	// StoreCIDRs are where S3, STS and CloudWatch are: anywhere, where none is
	// named, since AWS publishes no short list.
	StoreCIDRs []string `json:"storeCIDRs"`
	// Disabled leaves the policies to others.
	Disabled bool `json:"disabled"`
}

// Scratch is the volume in which a drill restores.
type Scratch struct {
	// StorageClass makes it a claim of that class, which lives as long as the
	// pod; "" makes it an emptyDir on the node's disk.
	StorageClass string `json:"storageClass"`
	// Medium of the emptyDir: "" or Memory.
	Medium corev1.StorageMedium `json:"medium"`
	// Minimum is the least size. The size follows the newest backup.
	Minimum resource.Quantity `json:"minimum"`
}

// DefaultConfig is what an empty file means. It has no bucket: a StatefulSet
// that names none is refused.
func DefaultConfig() Config {
	return Config{
		Image:               "ghcr.io/nova/pg-backup:latest",
		ImagePullPolicy:     corev1.PullIfNotPresent,
		Resources:           resources("100m", "128Mi", "512Mi"),
		DrillResources:      resources("200m", "256Mi", "1Gi"),
		CloudWatchNamespace: "Nova/Backup",
		Scratch:             Scratch{Minimum: resource.MustParse("1Gi")},
	}
}

func resources(cpu, memory, memoryLimit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memoryLimit)},
	}
}

// DefaultRequest is what a StatefulSet asks for that only says enabled.
func (c Config) DefaultRequest() backupapi.Request {
	r, _ := backupapi.ParseDefaults(c.Defaults) // Validate has told what is wrong
	return r
}

// Validate tells every mistake, each with the path of its key.
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
	if c.Image == "" || strings.ContainsAny(c.Image, " \t\n") {
		wrong("image", "%q is not an image reference", c.Image)
	}
	if !slices.Contains([]corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, c.ImagePullPolicy) {
		wrong("imagePullPolicy", "%q: use Always, IfNotPresent or Never", c.ImagePullPolicy)
	}
	if u, err := url.Parse(c.TelemetryEndpoint); c.TelemetryEndpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		wrong("telemetryEndpoint", "%q: use an http or https URL", c.TelemetryEndpoint)
	}
	for _, cidr := range c.Network.StoreCIDRs {
		if _, _, err := net.ParseCIDR(cidr); err != nil {
			wrong("network.storeCIDRs", "%q: use a range such as 10.0.0.0/8", cidr)
		}
	}
	if c.Scratch.Medium != corev1.StorageMediumDefault && c.Scratch.Medium != corev1.StorageMediumMemory {
		wrong("scratch.medium", "%q: use \"\" or Memory", c.Scratch.Medium)
	}
	if c.Scratch.Minimum.Sign() <= 0 {
		wrong("scratch.minimum", "%q: use a quantity such as 1Gi", c.Scratch.Minimum.String())
	}
	mistakes = append(mistakes, c.wrongEnv()...)
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(mistakes...)
}

// wrongEnv holds env to pg-backup's own rules. What annotations set, and what is
// secret, has no place there.
func (c Config) wrongEnv() (mistakes []error) {
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
			mistakes = append(mistakes, fmt.Errorf("env.%s: a secret: use the Secret that the annotation names", name))
		case ok && slices.Contains(ours, name):
			mistakes = append(mistakes, fmt.Errorf("env.%s: use the annotation, or defaults", name))
		case ok:
			if err := v.Check(value); err != nil {
				mistakes = append(mistakes, fmt.Errorf("env.%w", err))
			}
		}
	}
	return mistakes
}

// ours are the variables that requests and the controller set.
var ours = []string{
	backupapi.EnvDatabaseURL, backupapi.EnvDatabases, backupapi.EnvS3Bucket, backupapi.EnvS3Endpoint, backupapi.EnvAWSRegion,
	backupapi.EnvRetentionDays, backupapi.EnvKeepMinimum, backupapi.EnvParallelism, backupapi.EnvDeadline, backupapi.EnvEncryptionFile,
	backupapi.EnvIdentityFile, backupapi.EnvScratchDirectory, backupapi.EnvCloudWatchNamespace, backupapi.EnvTerminationPath,
}
