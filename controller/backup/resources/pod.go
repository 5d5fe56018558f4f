package resources

import (
	"strings"

	backupapi "github.com/nova/novawire/api/backup"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// terminationGraceSeconds is the time after SIGTERM: 30 s for pg-backup to abort its
// uploads and 20 s to report.
const terminationGraceSeconds = 60

func (c Config) podSpec(t Target, verb string) corev1.PodSpec {
	no, yes, id, grace := false, true, runAsUser, int64(terminationGraceSeconds)
	onlyChanged := corev1.FSGroupChangeOnRootMismatch
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		TerminationGracePeriodSeconds: &grace,
		ServiceAccountName:            serviceAccount(t),
		AutomountServiceAccountToken:  &no, // IRSA projects its own token
		EnableServiceLinks:            &no,
		ImagePullSecrets:              t.Server.pod.ImagePullSecrets,
		PriorityClassName:             c.Pod.PriorityClassName,
		NodeSelector:                  t.Server.pod.NodeSelector,
		Tolerations:                   t.Server.pod.Tolerations,
		Affinity:                      nodeAffinity(t.Server.pod),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: &yes, RunAsUser: &id, RunAsGroup: &id, FSGroup: &id, FSGroupChangePolicy: &onlyChanged,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		InitContainers: []corev1.Container{{
			Name: InstallContainer, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy,
			Args:            []string{"install", toolsDirectory},
			Resources:       resourceRequirements("10m", "32Mi", "64Mi"),
			SecurityContext: restricted(),
			VolumeMounts:    []corev1.VolumeMount{{Name: "tools", MountPath: toolsDirectory}},
		}},
		Containers: []corev1.Container{c.container(t, verb)},
		Volumes:    c.volumes(t, verb),
	}
}

// nodeAffinity returns the node affinity of the server's pod, whose image may run on
// some nodes only. Affinity to pods is about replicas of the database.
func nodeAffinity(pod corev1.PodSpec) *corev1.Affinity {
	affinity := pod.Affinity
	if affinity == nil || affinity.NodeAffinity == nil {
		return nil
	}
	return &corev1.Affinity{NodeAffinity: affinity.NodeAffinity.DeepCopy()}
}

func serviceAccount(t Target) string {
	if t.Request.ServiceAccount != "" {
		return t.Request.ServiceAccount
	}
	return BackupName(t.Source)
}

// restricted returns a security context that the Pod Security profile restricted accepts.
func restricted() *corev1.SecurityContext {
	no, yes := false, true
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func (c Config) container(t Target, verb string) corev1.Container {
	image, policy := c.image(t)
	return corev1.Container{
		Name: Container, Image: image, ImagePullPolicy: policy,
		Command: []string{toolsDirectory + "/pg-backup", verb},
		EnvFrom: envFrom(t, verb), Env: c.environment(t, verb), Resources: c.containerResources(t, verb), SecurityContext: restricted(),
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		VolumeMounts:             mounts(t, verb),
	}
}

// image returns the image whose PostgreSQL programs run: the requested one, that of the
// server's own container, or ours.
func (c Config) image(t Target) (string, corev1.PullPolicy) {
	switch {
	case t.Request.ClientImage != "":
		return t.Request.ClientImage, ""
	case t.Server.container.Image != "":
		return t.Server.container.Image, t.Server.container.ImagePullPolicy
	}
	return c.Image, c.ImagePullPolicy
}

func envFrom(t Target, verb string) []corev1.EnvFromSource {
	if !reachesDatabase(verb) {
		return nil
	}
	return connectionOf(t).envFrom
}

// containerResources returns the container's resources. A drill on the node's disk
// requests the ephemeral storage that it needs, so that it is scheduled to a node with
// enough space and does not cause evictions.
func (c Config) containerResources(t Target, verb string) corev1.ResourceRequirements {
	if verb != VerbDrill {
		return *c.Resources.DeepCopy()
	}
	required := *c.DrillResources.DeepCopy()
	if c.Scratch.StorageClass == "" && c.Scratch.Medium == corev1.StorageMediumDefault {
		if required.Requests == nil {
			required.Requests = corev1.ResourceList{}
		}
		required.Requests[corev1.ResourceEphemeralStorage] = c.Scratch.size(t.Status)
	}
	return required
}

// postgresContainer returns the container that serves PostgreSQL: the one with its port,
// else one named after it, else the first.
func postgresContainer(s *appsv1.StatefulSet) corev1.Container {
	containers := s.Spec.Template.Spec.Containers
	for _, c := range containers {
		for _, port := range c.Ports {
			if port.ContainerPort == defaultPort {
				return c
			}
		}
	}
	for _, c := range containers {
		if strings.Contains(c.Name, "postgres") {
			return c
		}
	}
	if len(containers) == 0 {
		return corev1.Container{}
	}
	return containers[0]
}

const defaultPort = backupapi.PostgresPort
