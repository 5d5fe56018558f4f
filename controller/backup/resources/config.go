package resources

import (
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
		Resources:           resourceRequirements("100m", "128Mi", "512Mi"),
		DrillResources:      resourceRequirements("200m", "256Mi", "1Gi"),
		CloudWatchNamespace: "Nova/Backup",
		Scratch:             Scratch{Minimum: resource.MustParse("1Gi")},
	}
}

func resourceRequirements(cpu, memory, memoryLimit string) corev1.ResourceRequirements {
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
