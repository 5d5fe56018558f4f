package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	backupapi "github.com/nova/novawire/api/backup"
)

// Config is the backup section of the manager's configuration. It applies to every
// StatefulSet.
type Config struct {
	// Defaults are backup.nova.dev annotations for every StatefulSet. The
	// bucket is a root: each StatefulSet has the prefix NAMESPACE/NAME below it.
	Defaults map[string]string `json:"defaults"`
	// AllowedOverrides limits what Namespaces and annotated objects may set.
	AllowedOverrides backupapi.Policy `json:"allowedOverrides,omitzero"`
	// Image is the pg-backup image: an init container installs the program from it.
	Image           string            `json:"image"`
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy"`
	// Resources are those of a backup. DrillResources are those of a drill, which runs
	// a PostgreSQL server.
	Resources      corev1.ResourceRequirements `json:"resources"`
	DrillResources corev1.ResourceRequirements `json:"drillResources"`
	// TelemetryEndpoint receives OTLP over HTTP, usually on port 4318. "" disables it.
	TelemetryEndpoint string `json:"telemetryEndpoint"`
	// CloudWatchNamespace receives metrics. "none" disables them.
	CloudWatchNamespace string `json:"cloudWatchNamespace"`
	// ServiceAccountAnnotations are set on generated ServiceAccounts, for example
	// eks.amazonaws.com/role-arn.
	ServiceAccountAnnotations map[string]string `json:"serviceAccountAnnotations"`
	// Env holds further variables of pg-backup for every Job.
	Env     map[string]string `json:"env"`
	Pod     Pod               `json:"pod"`
	Network Network           `json:"network"`
	Scratch Scratch           `json:"scratch"`
}

// Pod is added to the pods of every Job.
type Pod struct {
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	PriorityClassName string            `json:"priorityClassName"`
}

// doNotDisrupt keeps Karpenter and the cluster autoscaler from removing the node of a
// running backup.
func doNotDisrupt() map[string]string {
	return map[string]string{
		"karpenter.sh/do-not-disrupt":                    "true",
		"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
	}
}

// Network configures the NetworkPolicies.
type Network struct {
	// StoreCIDRs are the address ranges of S3, STS and CloudWatch. Empty allows any
	// address, because AWS publishes no short list.
	StoreCIDRs []string `json:"storeCIDRs"`
	// DNSCIDRs are address ranges of DNS servers beside the pods of kube-dns: that of
	// NodeLocal DNSCache by default. 0.0.0.0/0 and ::/0 allow any server.
	DNSCIDRs []string `json:"dnsCIDRs"`
	// CredentialCIDRs are address ranges of credential endpoints on port 80: those of
	// EKS Pod Identity by default. 169.254.169.254/32 adds the instance metadata of
	// EC2, which gives a pod the rights of its node.
	CredentialCIDRs []string `json:"credentialCIDRs"`
	// DatabasePorts are the ports of servers whose address only a Secret knows.
	DatabasePorts []int32 `json:"databasePorts"`
	// Disabled creates no NetworkPolicies.
	Disabled bool `json:"disabled"`
}

// Scratch configures the volume that a drill restores into.
type Scratch struct {
	// StorageClass requests an ephemeral volume claim of that class. "" uses an
	// emptyDir on the node's disk.
	StorageClass string `json:"storageClass"`
	// Medium of the emptyDir: "" or Memory.
	Medium corev1.StorageMedium `json:"medium"`
	// Minimum is the smallest size. The size grows with the newest backup.
	Minimum resource.Quantity `json:"minimum"`
}

// DefaultConfig returns the defaults. They contain no bucket: without one in the
// configuration, a StatefulSet that names none is refused.
func DefaultConfig() Config {
	return Config{
		Image:               "ghcr.io/nova/pg-backup:latest",
		ImagePullPolicy:     corev1.PullIfNotPresent,
		Resources:           resourceRequirements("100m", "128Mi", "512Mi"),
		DrillResources:      resourceRequirements("200m", "256Mi", "1Gi"),
		CloudWatchNamespace: "Nova/Backup",
		Network: Network{
			DNSCIDRs:        []string{"169.254.20.10/32"},
			CredentialCIDRs: []string{"169.254.170.23/32", "fd00:ec2::23/128"},
			DatabasePorts:   []int32{defaultPort},
		},
		Scratch: Scratch{Minimum: resource.MustParse("1Gi")},
	}
}

func resourceRequirements(cpu, memory, memoryLimit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memoryLimit)},
	}
}

// DefaultRequest returns the request of a StatefulSet that only sets enabled.
func (c Config) DefaultRequest() backupapi.Request {
	r, _ := backupapi.ParseDefaults(c.Defaults) // Validate reports the errors
	r.Policy = c.AllowedOverrides
	return r
}
